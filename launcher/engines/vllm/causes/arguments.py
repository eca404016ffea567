"""Arguments that vLLM refuses, or that do not go with the model.

Source: vllm 0.32.0, engine/arg_utils.py, config/, entrypoints/launchers/launcher.py.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import Confidence, ErrorCause, ErrorSign, LogCause, LogMatch


def _parsers(match: LogMatch) -> str:
    known = [word.strip() for word in match["known"].split(",") if word.strip()]
    field = "--tool-call-parser" if match["kind"] == "tool call" else "--reasoning-parser"
    if not known:
        return f"Choose another {field}: vLLM's documentation lists them."
    return f"Choose another {field}: {', '.join(known[:40])}."


def _refused(sign: ErrorSign) -> bool:
    return sign.error.short_kind == "ValidationError" or sign.stage == "checked its arguments"


def _what(sign: ErrorSign) -> str:
    """The engine's own sentence, which pydantic puts behind "Value error"."""
    _, found, said = sign.error.text.partition("Value error, ")
    said = said if found else sign.error.text
    return " ".join(said.partition(" [type=")[0].split())[:300].rstrip(". ")


ERRORS: Final = {
    "context-too-long": LogCause(
        pattern=r"User-specified max_model_len \((?P<asked>\d+)\) is greater than the derived "
        r"max_model_len \((?:max_position_embeddings=)?(?P<most>\d+)?",
        sample="ValueError: User-specified max_model_len (65536) is greater than the derived "
        "max_model_len (max_position_embeddings=32768",
        summary="--context-length is {asked}, and the model was made for {most} tokens.",
        action="Set --context-length {most}; VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 lets it go on, with "
        "answers that may be wrong.",
    ),
    "parser-unknown": LogCause(
        pattern=r"invalid (?P<kind>tool call|reasoning) parser: (?P<name>\S+) \(chose from "
        r"\{(?P<known>[^}]*)\}?",
        sample="KeyError: 'invalid tool call parser: glm9 (chose from { glm45, hermes })'",
        summary="This vLLM has no {kind} parser {name}.",
        action=_parsers,
        remedy="Choose one of those that it lists.",
    ),
    "chat-template-missing": LogCause(
        pattern=r"The supplied chat template (?:string )?\((?P<file>.{1,200}?)\)",
        sample="ValueError: The supplied chat template (/x.jinja) looks like a file path",
        summary="The chat template {file} cannot be read.",
        action="Check the path behind `-- --chat-template`.",
    ),
    "unknown-argument": LogCause(
        pattern=r"^[\w. -]+: error: (?P<what>.{1,300})",
        sample="api_server.py: error: unrecognized arguments: --max-model-length",
        summary="vLLM does not take one of its arguments: {what}.",
        action="Look what stands behind `--`; `python -m vllm.entrypoints.openai.api_server "
        "--help` lists its options.",
    ),
}

GENERAL: Final = {
    "argument-refused": ErrorCause(
        confidence=Confidence.LIKELY,
        applies=_refused,
        summary=lambda sign: f"vLLM refuses this configuration: {_what(sign)}.",
        action="Change what it names; the launcher's fields and what stands behind `--` become its "
        "arguments, as `up --dry-run` shows.",
        looks="a `ValidationError`, or any exception while vLLM checks its arguments",
    ),
}
