"""An SGLang plugin that makes an answer's `metadata` what OpenAI's clients take it for.

With OpenAI its values are strings. SGLang puts a list there, the versions of the weights that made
the answer (sglang/srt/utils/weight_versions.py, `build_endpoint_weight_version_metadata`), and
clients that validate answers refuse all that are not streamed: pydantic-ai 2 does.

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`).
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.names import RUN_ID_VARIABLE

TARGETS: Final = tuple(
    f"sglang.srt.entrypoints.openai.{module}.build_endpoint_weight_version_metadata"
    for module in ("serving_chat", "serving_completions")
)


def activate() -> None:
    """Hook what makes the field, where the server was started by the launcher.

    Without the hook most clients are as well served as before, so a version of SGLang that has no
    such function is none to stop for.
    """
    if RUN_ID_VARIABLE not in os.environ or not hooks.in_first_process():
        return
    try:
        hook: hooks.Hook = (only_strings, "AFTER")
        hooks.install(dict.fromkeys(TARGETS, hook))
    except (AttributeError, ImportError, RuntimeError) as error:
        print(f"specserve: an answer's metadata stays as it is: {error}", flush=True)  # noqa: T201


def only_strings(metadata: dict[str, Any], *_args: object, **_kwargs: object) -> dict[str, str]:
    """The field, with JSON for each value that is no string."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in metadata.items()
    }
