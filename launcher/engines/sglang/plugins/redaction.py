"""An SGLang plugin that keeps the keys out of `/server_info` and out of crash dumps.

SGLang answers `/server_info` with all of its arguments, the API key and the admin key among them,
to whoever holds the API key, and again with the state of each scheduler
(sglang/srt/entrypoints/http_server.py, `server_info`; sglang issue 30166). With that, the user's
key would open the admin routes after all. The hook is on the function through which SGLang itself
takes another kind of secret out of that answer.

Dumps of requests and of a crash (`--crash-dump-folder`) hold the arguments too, the keys among them
(managers/tokenizer_manager.py, `_server_args_for_dump`).

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`). It does
nothing unless the launcher has started the server with keys.
"""

from __future__ import annotations

import os
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.names import REDACT_VARIABLE

TARGET: Final = "sglang.srt.sampling.watermarking.core.redact_watermark_secrets"
DUMP_TARGET: Final = "sglang.srt.managers.tokenizer_manager.TokenizerManager._server_args_for_dump"
SECRET_FIELDS: Final = ("api_key", "admin_api_key", "ssl_keyfile_password", "launch_command")


def activate() -> None:
    """Hook what the route's answer and the dumps go through, and see that the hooks hold.

    SGLang logs what a plugin raises and carries on; a server with keys must not.

    Raises:
        SystemExit: this version of SGLang builds its answer elsewhere.
    """
    if os.environ.get(REDACT_VARIABLE) != "1":
        return
    try:
        wanted: dict[str, hooks.Hook] = {TARGET: (redact, "AFTER")}
        if hooks.in_first_process():
            wanted[DUMP_TARGET] = (redact_arguments, "AFTER")
        hooks.install(wanted)
    except Exception as error:
        raise SystemExit(
            f"specserve: the keys cannot be kept out of /server_info and of dumps: {error}"
        ) from error


def redact(info: Any, *_args: object, **_kwargs: object) -> Any:
    """The answer without what must not leave the server, however deep it lies.

    Args:
        info: what `/server_info` was going to say: mappings and lists of plain values.
    """
    if isinstance(info, dict):
        return {key: None if key in SECRET_FIELDS else redact(value) for key, value in info.items()}
    if isinstance(info, list | tuple):
        return [redact(value) for value in info]
    return info


def redact_arguments(arguments: Any, *_args: object, **_kwargs: object) -> Any:
    """What a dump holds of SGLang's `ServerArgs`, which may be a mapping already."""
    return redact(arguments if isinstance(arguments, dict) else arguments.resolved_dict())
