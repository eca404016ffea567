"""Names that several modules agree on; imports nothing, so that every command can afford it."""

from typing import Final

# It becomes the name of a folder, so it holds no separator and does not begin with a dot.
SERVER_NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

# Set to 1 for a server with keys: launcher/engines/sglang/plugins/redaction.py then keeps them out
# of `/server_info`.
REDACT_VARIABLE: Final = "SPECSERVE_REDACT"

# Set to 1 where launcher/engines/sglang/plugins/glm reads the model's answers.
GLM_PARSERS_VARIABLE: Final = "SPECSERVE_GLM_PARSERS"

# Set to 1 for a server that answers requests under any model's name, as SGLang does.
ANY_MODEL_NAME_VARIABLE: Final = "SPECSERVE_ANY_MODEL_NAME"

# Set to 1 where the launcher calls `/freeze_gc`: SGLang would before its port listens.
FREEZE_GC_VARIABLE: Final = "SPECSERVE_FREEZE_GC"

# How many processes the first one of a server forks after its imports: plugins/sharing.
SHARED_IMPORTS_VARIABLE: Final = "SPECSERVE_FORKED_PROCESSES"

# The descriptor of a socket, where a process is to import everything and then to wait:
# plugins/sharing/stand_by.py, and its other end in supervision/server/stand_by.py.
STAND_BY_VARIABLE: Final = "SPECSERVE_STAND_BY_SOCKET"
STAND_BY_READY: Final = b"ready"
STAND_BY_GO: Final = b"go"
STAND_BY_GOING: Final = b"going"

# In the environment of each process of a server.
RUN_ID_VARIABLE: Final = "SPECSERVE_RUN_ID"

# Where a server says when it last gave somebody an answer: plugins/lifecycle/last_output.py.
LAST_OUTPUT_ROUTE: Final = "/specserve/last_output"

# The key that clients must send, where no file holds it.
API_KEY_VARIABLE: Final = "LAUNCHER_API_KEY"

# Keys that a user may have in the environment, for the launcher or for a client. They go to no
# process that is started here: whoever may read /proc/PID/environ would have them.
KEY_VARIABLES: Final = (API_KEY_VARIABLE, "SPECSERVE_API_KEY", "SPECSERVE_ADMIN_KEY")
