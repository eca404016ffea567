"""What tools give back, in every shape, and the sentence that says it."""

import json
from typing import Any, Final

from tools.nano.tasks.words import Words
from tools.nano.world import bank
from tools.nano.world.naming import PARAMETER_STYLES, spoken, style
from tools.nano.world.values import ADJECTIVES, Values

KEYS: Final = tuple(
    """
    temperature condition city status name id count total price date time title location humidity
    wind unit currency amount balance result message value level score distance duration email
    phone address state owner size version url path user room seats rating author year available
    open closed active online percent speed weight height color stock order tracking eta arrival
    departure gate platform floor next last first battery memory cpu load
    """.split()
)
ERRORS: Final = (
    "Error: {0} not found", "not found", "timeout", "Error: permission denied", "404 Not Found",
    "500 Internal Server Error", "no such {0}", "connection refused", "unknown {0}: {1}",
    "ValueError: invalid {0}", "{0} is not available", "access denied", "rate limit exceeded",
    "failed: {0} is closed", "Traceback: {0}Error: {1}", "service unavailable",
)  # fmt: skip
PLAIN: Final = (
    "ok",
    "OK",
    "done",
    "Done.",
    "success",
    "true",
    "false",
    "sent",
    "saved",
    "accepted",
)
LIMIT: Final = 110
"""Characters of a result: longer ones would be all of a dialogue."""


def _scalar(words: Words, values: Values) -> Any:
    draw = words.random.random()
    if draw < 0.2:
        return values.whole() * words.random.choice((1, 1, 1, 1, -1))
    if draw < 0.3:
        return words.decimal()
    if draw < 0.36:
        return words.chance(0.5)
    if draw < 0.39:
        return None
    if draw < 0.44:
        return words.pick(ADJECTIVES)
    kinds = "noun noun person city words title date time email path filename code business phrase"
    return values.text(words.pick(kinds.split()))


def _key(words: Words) -> str:
    draw = words.random.random()
    if draw < 0.7:
        parts = [words.pick(KEYS)]
        if words.chance(0.25):
            parts.append(words.pick(KEYS))
        return style(words, PARAMETER_STYLES)(parts)
    return words.noun() if draw < 0.85 else words.pick(bank.vocabulary())


def _object(words: Words, values: Values, most: int = 5) -> dict[str, Any]:
    return {_key(words): _scalar(words, values) for _ in range(words.random.randint(1, most))}


def _value(words: Words, values: Values) -> Any:
    draw = words.random.random()
    if draw < 0.55:
        made: Any = _object(words, values)
        if words.chance(0.12):
            made[_key(words)] = _object(words, values, 2)
        if words.chance(0.12):
            made[_key(words)] = [values.thing() for _ in range(words.random.randint(1, 3))]
        return made
    if draw < 0.68:
        return [values.text(words.pick(("noun", "person", "title", "filename", "city")))
                for _ in range(words.random.randint(1, 5))]  # fmt: skip
    if draw < 0.8:
        keys = list(dict.fromkeys(_key(words) for _ in range(words.random.randint(1, 3))))
        return [
            {key: _scalar(words, values) for key in keys} for _ in range(words.random.randint(1, 3))
        ]
    if draw < 0.9:
        return _scalar(words, values)
    return words.pick(([], {}, None, ""))


def _said_scalar(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _pairs(made: dict[str, Any]) -> list[str]:
    said: list[str] = []
    for key, value in made.items():
        if isinstance(value, dict):
            said += [f"{spoken(key)} {one}" for one in _pairs(value)]
        elif isinstance(value, list):
            said.append(f"{spoken(key)}: {_row([_said_scalar(one) for one in value])}")
        else:
            said.append(f"{spoken(key)}: {_said_scalar(value)}")
    return said


def _row(texts: list[str]) -> str:
    return ", ".join(texts) if texts else "none"


def sentence(value: Any) -> str:
    """Say a result in words: the same way for every tool, so that nothing is left out."""
    if value is None or value in ([], {}, ""):
        return "There is no result."
    if isinstance(value, dict):
        if set(value) & {"error", "errors"}:
            return f"It did not work. {_row(_pairs(value))}."
        return f"Here is the result. {_row(_pairs(value))}."
    if isinstance(value, list):
        if all(isinstance(one, dict) for one in value):
            rows = [f"{number}. {_row(_pairs(one))}" for number, one in enumerate(value, 1)]
            return "Here are the results.\n" + "\n".join(rows)
        return f"Here are the results. {_row([_said_scalar(one) for one in value])}."
    text = _said_scalar(value).strip()
    return f"Here is the result. {text}" + ("" if text[-1:] in ".!?" else ".")


def failed(text: str) -> str:
    """Say that a tool failed."""
    return f"It did not work. {text}" + ("" if text[-1:] in ".!?" else ".")


def result(words: Words) -> tuple[str, str]:
    """Draw what a tool gives back, and the answer that says it."""
    values = Values(words)
    draw = words.random.random()
    if draw < 0.1:
        text = words.pick(ERRORS).format(values.thing(), values.thing())
        if words.chance(0.4):
            made = {"error": text} if words.chance(0.6) else {"error": text, _key(words): None}
            return json.dumps(made), sentence(made)
        return text, failed(text)
    if draw < 0.17:
        text = words.pick(PLAIN)
        return text, sentence({"true": True, "false": False}.get(text, text))
    if draw < 0.32:
        text = _plain(words, values)
        return text, sentence(text)
    while True:
        value = _value(words, values)
        spaces = words.pick(((", ", ": "), (", ", ": "), (",", ":")))
        indent = 2 if words.chance(0.08) else None
        text = json.dumps(value, separators=spaces, indent=indent, ensure_ascii=False)
        if isinstance(value, str):
            text = value
        if len(text) <= LIMIT:
            return text, sentence(value)


def _plain(words: Words, values: Values) -> str:
    """Draw a result that is plain text."""
    draw = words.random.random()
    if draw < 0.3:
        return values.sentence()
    key, other = spoken(_key(words)), spoken(_key(words))
    one, two = _said_scalar(_scalar(words, values)), _said_scalar(_scalar(words, values))
    return words.pick(
        (f"{key}: {one}", f"{key} {one}, {other} {two}", f"{one}, {two}", f"The {key} is {one}.",
         f"{values.city()}: {values.whole()} degrees, {words.pick(ADJECTIVES)}", f"{one}",
         f"{key}={one}\n{other}={two}", f"{values.thing()} {values.thing()} {values.thing()}",
         f"{values.whole()} {values.things()}", f"{one} ({two})", f"{key} - {one}; {other} - {two}")
    )[:LIMIT]  # fmt: skip
