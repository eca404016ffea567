"""The file of keys that a server reads, as shell commands make it and read it. Pure.

It is YAML, a key on each line in quotes: one of digits alone would be a number otherwise. No
command here has a key among its arguments, where every process list would show it: `printf` is the
shell's own.
"""

from __future__ import annotations

from typing import Final

# The variable that has the key where there is no file; clients know it by the same name.
KEY_VARIABLE: Final = "SPECSERVE_API_KEY"
NEW_KEY: Final = '"$(openssl rand -hex 32)"'
_LINES: Final = '\'api-key: "%s"\\nadmin-api-key: "%s"\\n\''


def write_keys(file: str, *, api_key: str = NEW_KEY) -> str:
    """A command that writes the file: a key for clients, and a new one for the admin routes.

    Args:
        file: where, as the shell is to read it.
        api_key: what the shell is to take for the first one, in quotes.
    """
    return f"printf {_LINES} {api_key} {NEW_KEY} > {file}"


def read_api_key(file: str) -> str:
    """A command that prints the clients' key of such a file, and a line end."""
    return f"sed -n 's/^api-key: \"\\(.*\\)\"$/\\1/p' {file}"
