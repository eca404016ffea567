"""Arms as a person names them on the command line: `plain`, `eagle:5/4/8`, `old=http://...`."""

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
_EAGLE: Final = re.compile(r"eagle(?::(\d+)/(\d+)/(\d+))?")
_FORMS: Final = (
    "plain; eagle or eagle:STEPS/TOPK/DRAFT_TOKENS; adaptive; ngram; NAME=URL of a server that "
    "runs; NAME=FIELD:VALUE,FIELD:VALUE with fields of `python -m launcher config show`"
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


def parse_arm(text: str) -> Arm:
    """Read one arm.

    Args:
        text: in one of the forms of the module's first line.

    Raises:
        PlanError: in none of them, or a field does not exist.
    """
    name, equals, rest = text.partition("=")
    try:
        if equals and rest.startswith(("http://", "https://")):
            return Arm(name=name, url=rest)
        if equals:
            return Arm(name=name, fields=_parse_fields(rest))
        if text == PLAIN:
            return Arm(name=PLAIN, fields={"speculative_algorithm": None})
        if text == ADAPTIVE:
            return adaptive()
        if text == "ngram":
            return Arm(name="ngram", fields={"speculative_algorithm": "NGRAM"})
        if found := _EAGLE.fullmatch(text):
            return eagle(*(int(number) for number in found.groups() if number))
    except ValidationError as error:
        raise PlanError(
            f"Not an arm: {text!r}: {error.errors()[0]['msg']}.", action=f"Arms are: {_FORMS}."
        ) from error
    raise PlanError(
        f"Not an arm: {text!r}{nearest(text, (PLAIN, 'eagle', ADAPTIVE, 'ngram'))}.",
        action=f"Arms are: {_FORMS}.",
    )


def option_of(arm: Arm) -> str:
    """What `parse_arm` reads this arm from."""
    if arm.url is not None:
        return f"{arm.name}={arm.url}"
    short = arm.name.replace("-", ":", 1).replace("-", "/")
    for text in (arm.name, short):
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
