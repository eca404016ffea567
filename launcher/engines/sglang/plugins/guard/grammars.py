"""How large a grammar a request may bring.

SGLang compiles it in the scheduler's process. The time, and the memory, grow faster than its size,
and while a rank compiles, the others have less of the processor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from launcher.engines.sglang.plugins.guard.bounds import (
    GRAMMAR_BYTES,
    GRAMMAR_RULES,
    SCHEMA_DEPTH,
    SCHEMA_NODES,
    BoundError,
)
from launcher.engines.sglang.plugins.guard.lines import BREAKS

KINDS: Final = ("json_schema", "regex", "ebnf", "structural_tag")


def check(parameters: Mapping[str, Any]) -> None:
    """Look at the grammar of SGLang's sampling parameters, if there is one.

    Raises:
        BoundError: it is too large, too deep, or no JSON where it has to be.
    """
    for kind in KINDS:
        text = parameters.get(kind)
        if not isinstance(text, str) or not text:
            continue
        check_text(kind, text)
        if kind in {"json_schema", "structural_tag"} and text != "$$ANY$$":
            try:
                schema = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise BoundError(kind, f"is no JSON ({error})", text) from None
            check_schema(kind, schema)


def check_text(name: str, text: str) -> None:
    """Look at the size of a grammar as text.

    Raises:
        BoundError: it is too large.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > GRAMMAR_BYTES:
        raise BoundError(name, f"must be at most {GRAMMAR_BYTES} bytes", size)
    rules = text.count("::=") if name == "ebnf" else text.count("|") if name == "regex" else 0
    if rules > GRAMMAR_RULES:
        raise BoundError(name, f"must have at most {GRAMMAR_RULES} rules or branches", rules)


def check_schema(name: str, schema: object) -> None:
    """Look at the size of a JSON schema, and at what xgrammar prints of it.

    Raises:
        BoundError: it has too many values, is too deep, or refers to what is no reference.
    """
    level, nodes, depth = [schema], 0, 0
    while level:
        nodes += len(level)
        depth += 1
        if nodes > SCHEMA_NODES:
            raise BoundError(name, f"must have at most {SCHEMA_NODES} values", nodes)
        if depth > SCHEMA_DEPTH:
            raise BoundError(name, f"must be at most {SCHEMA_DEPTH} levels deep", depth)
        below: list[object] = []
        for value in level:
            if isinstance(value, Mapping):
                _check_references(name, value)
                below += value.values()
            elif isinstance(value, list):
                below += value
        level = below


def _check_references(name: str, schema: Mapping[str, Any]) -> None:
    """xgrammar, which is C++, prints a reference that it does not know as it stands.

    A line break in it would make a line of a client's own in the log, and no reference has one.
    """
    for key, value in schema.items():
        if key.startswith("$") and isinstance(value, str) and BREAKS.search(value):
            raise BoundError(f"{name}: {key}", "must be one line", value)
