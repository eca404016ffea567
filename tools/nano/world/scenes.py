"""Tools of scenes, made-up tools, and requests for them in words."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tools.nano.tasks.tool_use import OPENINGS, Function, article, phrase, with_names
from tools.nano.tasks.words import Words
from tools.nano.world import bank, naming, schemas
from tools.nano.world.naming import PARAMETER_STYLES, TOOL_STYLES, spoken
from tools.nano.world.schemas import Field, Writer
from tools.nano.world.values import Values, number_word

_OPTIONAL: Final = re.compile(r"\[([^\[\]]*)\]")
_PLACE: Final = re.compile(r"\{([^{}]+)\}")
GREETINGS: Final = (
    "Hi, ",
    "Hello! ",
    "Hey, ",
    "Hi! ",
    "hey ",
    "Please ",
    "ok, ",
    "Hi there, ",
    "So, ",
)
ENDINGS: Final = (
    " please",
    ", please",
    " Thanks!",
    " thanks",
    " pls",
    " now",
    ", thanks",
    " for me",
)
NAMED_LEADS: Final = (" with ", " with ", ", ", " for ", ": ", " ")
Wish = tuple[str, dict[str, Any]]
"""A request's text and the arguments of the call that it wants."""


@dataclass(slots=True)
class Toolbox:
    """How one client writes its tools.

    Attributes:
        write: its library's schemas.
        tools: style of the tools' names.
        parameters: style of the parameters' names.
        described: how likely a parameter has a description.
    """

    write: Writer
    tools: naming.Style
    parameters: naming.Style
    described: float


def toolbox(words: Words) -> Toolbox:
    """Draw how a client writes its tools."""
    styled = naming.style(words, TOOL_STYLES)
    alike = dict(PARAMETER_STYLES)
    same = styled in alike and words.chance(0.5)
    return Toolbox(
        words.pick(schemas.WRITERS),
        styled,
        styled if same else naming.style(words, PARAMETER_STYLES),
        words.pick((0.0, 0.3, 0.8, 1.0)),
    )


@dataclass(slots=True)
class Tool:
    """A tool as a prompt shows it, and how it is asked for.

    Attributes:
        name: as shown.
        schema: as the OpenAI API has it.
        fields: shown parameters, by their names in the scene.
        scene: where requests come from; None for a made-up tool.
        function: the made-up one.
    """

    name: str
    schema: dict[str, Any]
    fields: dict[str, Field]
    scene: Mapping[str, Any] | None = None
    function: Function | None = None

    def wish(self, words: Words) -> Wish:
        """Ask for a call in words."""
        flat = not any(one.inner for one in self.fields.values())
        if self.scene is None or (self.fields and flat and words.chance(0.08)):
            return self._named_wish(words)
        return self._scene_wish(words)

    def lacking(self, words: Words) -> str:
        """Ask without what the call needs; "" where it needs nothing."""
        short = self.scene["short"] if self.scene else []
        if not short or not any(one.required for one in self.fields.values()):
            return ""
        return _fill(words, words.pick(short))

    def beside(self, words: Words) -> str:
        """Say something near the subject that wants no call; "" if nothing is known."""
        said = self.scene.get("not", []) if self.scene else []
        return _fill(words, words.pick(said)) if said else ""

    def _scene_wish(self, words: Words) -> Wish:
        assert self.scene is not None  # noqa: S101 - for mypy, asked by the caller
        values = Values(words)
        ask = _OPTIONAL.sub(
            lambda found: found[1] if words.chance(0.6) else "", words.pick(self.scene["asks"])
        )
        ask = _reworded(words, ask)
        arguments: dict[str, Any] = {}
        shown: dict[str, str] = {}
        for name in dict.fromkeys(_PLACE.findall(ask)):
            one, outer = self._find(name)
            if one is None:
                continue
            text, value = said(words, values, one, self._parameter(name))
            shown[name] = text
            if outer is None:
                arguments[one.name] = value
            else:
                arguments.setdefault(outer.name, {})[one.name] = value
        text = _PLACE.sub(lambda found: shown.get(found[1], found[1]), ask)
        return text, self._ordered(arguments)

    def _find(self, name: str) -> tuple[Field | None, Field | None]:
        """Find a parameter, or one inside an object, and that object."""
        if name in self.fields:
            return self.fields[name], None
        for outer_name, outer in self.fields.items():
            inner = (self._parameter(outer_name) or {}).get("properties", {})
            for number, key in enumerate(inner):
                if key == name:
                    return outer.inner[number], outer
        return None, None

    def _parameter(self, name: str) -> Mapping[str, Any]:
        assert self.scene is not None  # noqa: S101 - for mypy
        parameters: Mapping[str, Any] = self.scene["parameters"]
        if name in parameters:
            found: Mapping[str, Any] = parameters[name]
            return found
        for one in parameters.values():
            if name in one.get("properties", {}):
                inner: Mapping[str, Any] = one["properties"][name]
                return inner
        return {}

    def _ordered(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Put arguments into the order of the schema."""
        order = [one.name for one in self.fields.values()]
        return {name: arguments[name] for name in order if name in arguments}

    def _named_wish(self, words: Words) -> Wish:
        """Ask with the parameters' names said, or shown."""
        values = Values(words)
        flat = {key: one for key, one in self.fields.items() if not one.inner}
        chosen = [key for key, one in flat.items() if one.required or words.chance(0.6)]
        pairs: list[tuple[str, str]] = []
        arguments: dict[str, Any] = {}
        for key in chosen:
            one = flat[key]
            text, value = said(words, values, one, self._parameter(key) if self.scene else {})
            if one.type == "boolean" or isinstance(value, bool):
                text = words.pick((json.dumps(value), json.dumps(value), "yes" if value else "no"))
            elif one.enum:
                text = str(value)
            pairs.append((one.name, text))
            arguments[one.name] = value
        text = self._opening(words)
        if not pairs:
            return text, arguments
        text = with_names(words, text, pairs, spoken, NAMED_LEADS, said_share=0.8)
        return text, self._ordered(arguments)

    def _opening(self, words: Words) -> str:
        if words.chance(0.35):
            return words.pick(("Use {}", "Call {}", "Run {}", "{}", "Please call {}")).format(
                self.name
            )
        if self.function is None:
            return spoken(self.name).capitalize()
        return words.pick(OPENINGS).format(
            Verb=self.function.verb.capitalize(), verb=self.function.verb,
            noun=phrase(self.function.noun), a=article(self.function.noun), name=self.name,
        )  # fmt: skip


def _reworded(words: Words, ask: str) -> str:
    """Vary a wording outside of its values: case, stops, a greeting, a thank."""
    draw = words.random.random()
    if draw < 0.1:
        ask = _lowered(ask)
    elif draw < 0.16:
        ask = ask[0].upper() + ask[1:]
    if words.chance(0.15):
        ask = ask.rstrip(".!?")
    elif ask[-1] not in ".!?" and words.chance(0.15):
        ask += words.pick((".", "!", "?", "..."))
    if words.chance(0.08):
        lead = words.pick(GREETINGS)
        rest = ask if ask.startswith(("{", "I ", "I'")) else ask[0].lower() + ask[1:]
        ask = (lead + rest) if not ask.lower().startswith(("hi", "hello", "hey")) else ask
    if words.chance(0.08):
        ask = ask.rstrip(".!?") + words.pick(ENDINGS)
    return ask


def _lowered(ask: str) -> str:
    return "".join(
        part if part.startswith("{") else part.lower() for part in re.split(r"(\{[^{}]+\})", ask)
    )


def _fill(words: Words, said_: str) -> str:
    """Fill the places of a message that wants no call with anything."""
    values = Values(words)
    text = _OPTIONAL.sub(lambda found: found[1] if words.chance(0.5) else "", said_)
    kinds = ("noun", "person", "city", "words", "title", "count")
    return _PLACE.sub(lambda _: values.text(words.pick(kinds)), text)


def said(words: Words, values: Values, one: Field, parameter: Mapping[str, Any]) -> tuple[str, Any]:
    """Draw a value: as the request says it, and as the call has it."""
    of, examples = parameter.get("of", one.of), parameter.get("examples", ())
    if one.type == "boolean":
        value = words.chance(0.5)
        phrases = parameter.get("true" if value else "false") or ()
        if not phrases:
            value = not value
            phrases = parameter.get("true" if value else "false") or (json.dumps(value),)
        return words.pick(list(phrases)), value
    if one.enum:
        known = parameter.get("enum", {})
        value = words.pick(one.enum)
        phrases = known.get(str(value), []) if isinstance(known, dict) else []
        if phrases and words.chance(0.7):
            return words.pick(phrases), value
        return str(value), value
    if one.type == "array":
        return _array(words, values, one, of, examples)
    if one.type in {"integer", "number"}:
        return _number(words, values, one.type, of, examples)
    text = values.text(of, [str(example) for example in examples])
    return text, text


def _array(
    words: Words, values: Values, one: Field, of: str, examples: Sequence[Any]
) -> tuple[str, list[Any]]:
    items: dict[str, Any] = {}
    for _ in range(words.pick((1, 2, 2, 3, 3, 4))):
        if one.items in {"integer", "number"}:
            text, value = _number(words, values, one.items, of, examples, in_words=0.05)
        else:
            text = value = values.text(of, [str(example) for example in examples])
        if "," not in text and " and " not in text:
            items[text] = value
    if not items:
        items = {"x1": "x1"} if one.items == "string" else {"1": 1}
    texts = list(items)
    if len(texts) == 1:
        return texts[0], list(items.values())
    last = words.pick((" and ", " and ", ", ", ", and "))
    return ", ".join(texts[:-1]) + last + texts[-1], list(items.values())


def _number(  # noqa: PLR0917 - all of one value
    words: Words,
    values: Values,
    kind: str,
    of: str,
    examples: Sequence[Any],
    in_words: float = 0.22,
) -> tuple[str, Any]:
    """Draw a number; small whole ones are said in words now and then."""
    usable = [one for one in examples if isinstance(one, int | float) and not isinstance(one, bool)]
    value: Any
    if usable and words.chance(0.4):
        value = words.pick(usable)
    elif kind == "integer":
        value = {
            "count": lambda: words.random.randint(1, 20),
            "percent": lambda: words.random.randint(1, 100),
        }.get(of, values.whole)()
    elif of in {"decimal", "price"} or words.chance(0.5):
        value = float(values.price()) if of == "price" else words.decimal()
        value = int(value) if value == int(value) else value
    else:
        value = values.whole()
    if kind == "integer":
        value = int(value)
    if isinstance(value, int) and 0 < value < 1000 and words.chance(in_words):
        plain = value < 13 or value % 10 == 0 or words.chance(0.4)
        if plain:
            return number_word(value), value
    return json.dumps(value), value


def _description(words: Words, parameter: Mapping[str, Any], name: str) -> str:
    given = parameter.get("descriptions") or ()
    if given and words.chance(0.75):
        return str(words.pick(list(given)))
    plain = spoken(name)
    return words.pick((f"The {plain}.", f"The {plain}", plain.capitalize(), f"the {plain}"))


def _field(
    words: Words, box: Toolbox, name: str, parameter: Mapping[str, Any], *, required: bool
) -> Field:
    names = [name, name, name, *parameter.get("also", ())]
    shown = naming.parameter_name(words, names, box.parameters, odd=0.05)
    natural = {part for one in names for part in one.split("_")}
    says = natural & set(spoken(shown).split())
    description = ""
    if words.chance(box.described) or not says:
        description = _description(words, parameter, name)
    kind = parameter["type"]
    enum = parameter.get("enum") or {}
    return Field(
        shown,
        kind,
        parameter.get("of", ""),
        description,
        list(enum) if kind == "string" else [],
        parameter.get("items", "string"),
        required,
        [
            _field(words, box, key, inner, required=True)
            for key, inner in parameter.get("properties", {}).items()
        ],
    )


def _short(words: Words, scene: Mapping[str, Any]) -> str:
    return str(words.pick(list(scene["descriptions"])))


def _long(words: Words, scene: Mapping[str, Any]) -> str:
    """Describe a tool at length: what it does, when it is used, and what it is not for."""
    other = _short(words, words.pick(bank.scenes()))
    parts = [*scene["descriptions"], words.pick(
        ("Use this when the user asks for it.", "Call it once for each request.",
         "Returns JSON.", "Arguments:\n" + "\n".join(f"    {name}" for name in scene["parameters"]),
         f"Not for this: {other}", f'Example: "{_fill(words, words.pick(scene["asks"]))}"')
    )]  # fmt: skip
    return words.pick((" ", "\n", "\n\n")).join(parts)


def from_scene(words: Words, box: Toolbox, scene: Mapping[str, Any]) -> Tool:
    """Make a tool of a scene, with names, schema and descriptions of its client."""
    names = [scene["name"], scene["name"], *scene["also"]]
    name = naming.tool_name(words, names, box.tools)
    required = set(scene["required"])
    fields = {
        key: _field(words, box, key, parameter, required=key in required)
        for key, parameter in scene["parameters"].items()
    }
    _set_apart(fields.values(), words)
    natural = {part for one in names for part in one.split("_")}
    says = natural & set(spoken(name).split())
    description = ""
    if words.chance(0.85) or not says:
        description = _long(words, scene) if words.chance(0.1) else _short(words, scene)
    shown = list(fields.values())
    if words.chance(0.2):
        words.random.shuffle(shown)
    schema = schemas.schema(words, box.write, name, description, shown)
    ordered = {key: one for wanted in shown for key, one in fields.items() if one is wanted}
    return Tool(name, schema, ordered, scene=scene)


def _set_apart(fields: Any, words: Words) -> None:
    """Give fields different names, and a description where an odd name has none to tell it by."""
    seen: set[str] = set()
    for one in fields:
        while one.name in seen:
            one.name += words.pick("abcdefghjk23456789")
        seen.add(one.name)
        _set_apart(one.inner, words)


def made_up(words: Words, box: Toolbox) -> Tool:
    """Make a tool that means nothing: its request says the parameters' names."""
    function = Function(words)
    name = naming.tool_name(words, [function.name, function.name, function.name], box.tools)
    fields: dict[str, Field] = {}
    for key, kind in function.types.items():
        shown = naming.parameter_name(words, [key], box.parameters, odd=0.08)
        fields[key] = Field(
            shown, kind, words.pick(("noun", "noun", "words", "person", "code", "")),
            f"The {phrase(key)}." if words.chance(box.described) else "",
            list(function.choices.get(key, ())), "string", key in function.required,
        )  # fmt: skip
    _set_apart(fields.values(), words)
    schema = schemas.schema(words, box.write, name, function.description, list(fields.values()))
    return Tool(name, schema, fields, function=function)


def tools(words: Words, box: Toolbox, count: int) -> list[Tool]:
    """Draw tools of different names: often some of one family."""
    every = bank.scenes()
    chosen: list[Mapping[str, Any]] = []
    made: dict[str, Tool] = {}
    while len(made) < count:
        if words.chance(0.08):
            tool = made_up(words, box)
        else:
            if chosen and words.chance(0.6):
                near = words.pick(chosen)["number"] + words.random.choice((-2, -1, 1, 2))
                scene = every[near % len(every)]
            else:
                scene = words.pick(every)
            if any(scene is one for one in chosen):
                continue
            chosen.append(scene)
            tool = from_scene(words, box, scene)
        made.setdefault(tool.name, tool)
    drawn = list(made.values())
    words.random.shuffle(drawn)
    return drawn
