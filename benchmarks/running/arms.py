"""Arms as a person names them: `plain`, `eagle:5/4/8`, `vllm:mtp=3`, `old=http://...`."""

from __future__ import annotations

import contextlib
import math
import re
from typing import Any, Final

import yaml
from pydantic import ValidationError

from benchmarks.errors import PlanError
from benchmarks.plan import Arm
from launcher.config.server_config import ServerConfig
from launcher.text import nearest

PLAIN: Final = "plain"
ADAPTIVE: Final = "adaptive"
ENGINES: Final = ("sglang", "vllm")
_EAGLE: Final = re.compile(r"eagle(?::(\d+)/(\d+)/(\d+))?")
_MTP: Final = re.compile(r"mtp(?:=(\d+))?")
_NGRAM: Final = re.compile(r"ngram(?:=(\d+))?")
_ON_ENGINE: Final = re.compile(rf"({'|'.join(ENGINES)}):(.+)")
_FORMS: Final = (
    "plain; eagle or eagle:STEPS/TOPK/DRAFT_TOKENS; adaptive; mtp=N, a chain of N drafts; ngram or "
    "ngram=N; each of these after sglang: or vllm: on that engine; NAME=URL of a server that runs; "
    "NAME=FIELD:VALUE,FIELD:VALUE with fields of `python -m launcher config show`"
)


def eagle(steps: int = 3, topk: int = 1, draft_tokens: int = 4) -> Arm:
    """EAGLE with the draft model that the preset has, or the model's own NextN layer."""
    return Arm(
        name=f"eagle-{steps}-{topk}-{draft_tokens}",
        fields={
            "speculative_algorithm": "EAGLE",
            "speculative_num_steps": steps,
            "speculative_eagle_topk": topk,
            "speculative_num_draft_tokens": draft_tokens,
        },
    )


def adaptive() -> Arm:
    """EAGLE whose draft steps SGLang changes, from 3 on."""
    return Arm(name=ADAPTIVE, fields={**eagle().fields, "speculative_adaptive": True})


def mtp(drafts: int = 3) -> Arm:
    """A chain of drafts by the model's own NextN layer: what vLLM calls MTP, and EAGLE is too."""
    return eagle(drafts, 1, drafts + 1).model_copy(update={"name": f"mtp-{drafts}"})


def ngram(drafts: int | None = None) -> Arm:
    """Drafts that were in the text before; as many as the engine has by itself."""
    fields: dict[str, Any] = {"speculative_algorithm": "NGRAM"}
    if drafts is None:
        return Arm(name="ngram", fields=fields)
    # SGLang counts the token that is verified with them.
    return Arm(
        name=f"ngram-{drafts}", fields={**fields, "speculative_num_draft_tokens": drafts + 1}
    )


def parse_arm(text: str) -> Arm:
    """Read one arm.

    Args:
        text: in one of the forms of the module's first line.

    Raises:
        PlanError: in none of them, or a field does not exist.
    """
    if found := _ON_ENGINE.fullmatch(text):
        engine, way = found.groups()
        arm = _parse_way(way)
        if arm is None:
            raise _no_arm(text, way)
        return Arm(name=f"{engine}-{arm.name}", fields={"engine": engine, **arm.fields})
    name, equals, rest = text.partition("=")
    try:
        if arm := _parse_way(text):
            return arm
        if equals and rest.startswith(("http://", "https://")):
            return Arm(name=name, url=rest)
        if equals:
            return Arm(name=name, fields=_parse_fields(rest))
    except ValidationError as error:
        raise PlanError(
            f"Not an arm: {text!r}: {error.errors()[0]['msg']}.", action=f"Arms are: {_FORMS}."
        ) from error
    raise _no_arm(text, text)


def _parse_way(text: str) -> Arm | None:
    """How to decode, on whichever engine; None for another form."""
    if text == PLAIN:
        return Arm(name=PLAIN, fields={"speculative_algorithm": None})
    if text == ADAPTIVE:
        return adaptive()
    for pattern, make in ((_EAGLE, eagle), (_MTP, mtp), (_NGRAM, ngram)):
        if found := pattern.fullmatch(text):
            return make(*(int(number) for number in found.groups() if number))
    return None


def _no_arm(text: str, way: str) -> PlanError:
    return PlanError(
        f"Not an arm: {text!r}{nearest(way, (PLAIN, 'eagle', 'mtp', ADAPTIVE, 'ngram'))}.",
        action=f"Arms are: {_FORMS}.",
    )


def option_of(arm: Arm) -> str:
    """What `parse_arm` reads this arm from."""
    if arm.url is not None:
        return f"{arm.name}={arm.url}"
    engine, dash, way = arm.name.partition("-")
    on, way = (f"{engine}:", way) if dash and engine in ENGINES else ("", arm.name)
    for text in (
        on + way,
        on + way.replace("-", ":", 1).replace("-", "/"),
        on + way.replace("-", "=", 1),
    ):
        with contextlib.suppress(PlanError):
            if parse_arm(text) == arm:
                return text
    fields = (
        # The line after the first one is YAML's end mark.
        f"{field}:{yaml.safe_dump(value, width=math.inf).splitlines()[0]}"
        for field, value in arm.fields.items()
    )
    return f"{arm.name}={','.join(fields)}"


def _parse_fields(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for part in text.split(","):
        field, colon, value = part.partition(":")
        fields |= parse_field(field.strip(), value if colon else None)
    return fields


def parse_field(field: str, value: str | None) -> dict[str, Any]:
    """One field of the launcher's configuration; an empty value or `null` unsets it.

    Raises:
        PlanError: there is no such field, or no value.
    """
    field = field.replace("-", "_")
    if field not in ServerConfig.model_fields:
        raise PlanError(
            f"The launcher has no field {field!r}{nearest(field, ServerConfig.model_fields)}.",
            action="See them with `python -m launcher config show`.",
        )
    if value is None:
        raise PlanError(f"The field {field!r} has no value.", action="Write FIELD:VALUE.")
    return {field: yaml.safe_load(value) if value.strip() else None}
