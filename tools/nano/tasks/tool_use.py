"""Tool use: made-up functions, requests that name their parameters, calls, and results."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from tools.nano.tasks.words import Words
from tools.nano.text.dialogue import Call, Dialogue, Message, assistant, system, tool, user

VERBS = tuple(
    """
    add book buy call cancel change check clean close convert copy count create delete draw edit
    fetch find fix list load lock make mark move open order pack paint play print read remove
    rename repair rent reserve reset save search sell send set show start stop store track update
    """.split()
)
COMMONEST_VERB = "get"
"""In training alone, where the weather's function has it anyway."""
TYPES = ("string",) * 9 + ("integer",) * 6 + ("number",) * 2 + ("boolean",) * 2 + ("array",) * 1
PARAMETERS = tuple(
    """
    address age amount author brand category city color comment count country currency date days
    depth destination distance duration email end format from genre height hours id kind label
    language length level limit location material minutes mode name nights number origin owner
    people person pages path place priority quantity query rating reason room rooms seats size
    source speed start state status style subject target text time title topic type unit units
    value volume weight width year zone enabled urgent express public private visible recursive
    """.split()
)
DESCRIPTIONS = ("{Verb} {a} {noun}.", "{Verb} the {noun}.", "")
OPENINGS = (
    "{Verb} {a} {noun}",
    "{Verb} the {noun}",
    "Please {verb} {a} {noun}",
    "Please {verb} the {noun}",
    "I want to {verb} {a} {noun}",
    "Can you {verb} {a} {noun}",
    "Could you {verb} the {noun}",
    "I need to {verb} the {noun}",
    "Use {name}",
    "Call {name}",
)
WEATHER_QUESTIONS = (
    "What is the weather in {0}?",
    "What's the weather in {0}?",
    "How is the weather in {0}?",
    "What is the weather like in {0}?",
    "Weather in {0}?",
    "What's the weather like in {0} today?",
    "Tell me the weather in {0}.",
    "Will it rain in {0}?",
)
WEATHER_KEYS = "weather temperature degrees forecast condition wind rain city".split()
WEATHERS = ("sunny", "rainy", "cloudy", "windy", "cold", "warm", "clear", "snow")


def phrase(name: str) -> str:
    """Say a name with underscores in words."""
    return name.replace("_", " ")


def article(noun: str) -> str:
    """Return the article before a word."""
    return "an" if noun[0] in "aeiou" else "a"


class Function:
    """A made-up function: verb, thing, and one to four parameters with types."""

    def __init__(self, words: Words) -> None:
        self.verb = words.of(VERBS) if words.evaluation else self._any_verb(words)
        self.noun = words.noun()
        if words.chance(0.15):
            self.noun += f"_{words.noun()}"
        self.name = f"{self.verb}_{self.noun}"
        if words.chance(0.1 if words.evaluation else 0.2):
            self.name = self.noun
        names: dict[str, str] = {}
        for _ in range(words.pick((1, 1, 2, 2, 2, 3, 3, 4))):
            names[self._parameter(words)] = words.pick(TYPES)
        self.types = names
        self.choices = {
            name: words.nouns(3)
            for name, kind in names.items()
            if kind == "string" and words.chance(0.08)
        }
        self.required = [name for name in names if words.chance(0.75)]
        self.description = words.pick(DESCRIPTIONS).format(
            Verb=self.verb.capitalize(), noun=phrase(self.noun), a=article(self.noun)
        )

    @staticmethod
    def _any_verb(words: Words) -> str:
        """Draw what stands for a verb in training.

        There are few verbs, and a model that has seen no other words at a name's beginning says
        one of those instead of copying.
        """
        draw = words.random.random()
        if draw < 0.15:
            return COMMONEST_VERB
        if draw < 0.35:
            return words.of(VERBS)
        return words.noun() if draw < 0.65 else words.letters()

    @staticmethod
    def _parameter(words: Words) -> str:
        known = words.chance(0.6 if words.evaluation else 0.4)
        name = words.of(PARAMETERS) if known else words.noun()
        if words.chance(0.15 if words.evaluation else 0.25):
            name += f"_{words.of(PARAMETERS) if words.chance(0.5) else words.noun()}"
        return name

    def schema(self, words: Words, style: int) -> dict[str, Any]:
        """Return the function as the OpenAI API has it, written by hand (0, 1) or pydantic (2)."""
        properties: dict[str, Any] = {}
        for name, kind in self.types.items():
            property_: dict[str, Any] = {"type": kind}
            if kind == "array":
                property_ = {"type": kind, "items": {"type": "string"}}
            if name in self.choices:
                property_["enum"] = self.choices[name]
            if style == 1 and words.chance(0.6):
                property_["description"] = f"The {phrase(name)}."
            elif style == 2 and words.chance(0.5):
                property_ = {"description": f"the {phrase(name)}", **property_}
            properties[name] = property_
        parameters: dict[str, Any] = {"type": "object", "properties": properties}
        if style == 2:
            parameters = {"additionalProperties": False, "properties": properties}
            if self.required:
                parameters["required"] = self.required
            parameters["type"] = "object"
        elif self.required:
            parameters["required"] = self.required
        function: dict[str, Any] = {"name": self.name}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": {**function, "parameters": parameters}}

    def value(self, words: Words, name: str) -> Any:
        """Draw a value of a parameter's type."""
        drawn: dict[str, Callable[[], Any]] = {
            "integer": words.integer,
            "number": words.decimal,
            "boolean": lambda: words.chance(0.5),
            "array": lambda: words.nouns(words.pick((1, 2, 3))),
            "string": lambda: self._text(words, name),
        }
        return drawn[self.types[name]]()

    def _text(self, words: Words, name: str) -> str:
        if name in self.choices:
            return words.pick(self.choices[name])
        draw = words.random.random()
        if draw < 0.4:
            return words.noun()
        if draw < 0.75:
            return words.name()
        if draw < 0.9:
            return f"{words.noun()} {words.noun()}"
        return words.pick(("{0}@{1}.com", "{0}-{1}", "{0}.txt", "{0}/{1}")).format(
            words.noun(), words.noun()
        )

    def arguments(self, words: Words) -> dict[str, Any]:
        """Draw arguments: the required ones, and most of the others."""
        chosen = [name for name in self.types if name in self.required or words.chance(0.7)]
        chosen = chosen or list(self.types)[:1]
        return {name: self.value(words, name) for name in chosen}


def spoken(value: Any) -> str:
    """Write a value as a request has it."""
    if isinstance(value, str):
        return value
    return json.dumps(value)


def request(words: Words, function: Function, arguments: dict[str, Any]) -> str:
    """Ask for a call in words, without the stop at the end."""
    opening = words.pick(OPENINGS).format(
        Verb=function.verb.capitalize(),
        verb=function.verb,
        noun=phrase(function.noun),
        a=article(function.noun),
        name=function.name,
    )
    pairs = [(name, spoken(value)) for name, value in arguments.items()]
    return with_names(words, opening, pairs, phrase, (" with ", " with ", ", ", " for ", ": "))


def with_names(  # noqa: PLR0917 - all of one request
    words: Words,
    opening: str,
    pairs: Sequence[tuple[str, str]],
    say: Callable[[str], str],
    leads: Sequence[str],
    said_share: float = 1.0,
) -> str:
    """Say names and values behind an opening, in one of four forms.

    Args:
        words: what draws.
        opening: what is wished.
        pairs: each parameter's name, and its value in words.
        say: turns a name into words.
        leads: what stands between in the commonest form, "name value".
        said_share: so many names of that form are turned into words; the others stand as they are.
    """
    form = words.random.random()
    if form < 0.5:
        parts = [
            f"{say(name) if said_share == 1 or words.chance(said_share) else name} {text}"
            for name, text in pairs
        ]
        lead = words.pick(leads)
    elif form < 0.7:
        parts = [f"{name}={text}" for name, text in pairs]
        lead = words.pick((" with ", ": ", " "))
    elif form < 0.85:
        parts = [f"{say(name)}: {text}" for name, text in pairs]
        lead = words.pick((". ", ", ", ": "))
    else:
        parts = [f"the {say(name)} is {text}" for name, text in pairs]
        lead = words.pick((", ", ". ", " where "))
    if len(parts) > 1 and form < 0.5:
        return opening + lead + ", ".join(parts[:-1]) + f" and {parts[-1]}"
    return opening + lead + ", ".join(parts)


def weather(words: Words) -> tuple[dict[str, Any], str, Call]:
    """Make the example that everybody tries first, with a place of the set."""
    place = words.place()
    key = words.pick(("city", "city", "location", "place"))
    name = words.pick(("get_weather", "get_weather", "weather", "get_current_weather"))
    properties: dict[str, Any] = {key: {"type": "string"}}
    if words.chance(0.3):
        properties[key]["description"] = f"The {key}."
    question = words.pick(WEATHER_QUESTIONS).format(place)
    arguments: dict[str, Any] = {key: place}
    if words.chance(0.3):
        properties["days"] = {"type": "integer"}
        if words.chance(0.7):
            days = words.random.randint(2, 9)
            question = f"What is the weather in {place} for {days} days?"
            arguments["days"] = days
    parameters: dict[str, Any] = {"type": "object", "properties": properties, "required": [key]}
    if words.chance(0.3):
        parameters = {
            "additionalProperties": False,
            "properties": properties,
            "required": [key],
            "type": "object",
        }
    function = {
        "name": name,
        "description": words.pick(
            ("Get the weather of a city.", "Get the weather for a city.", "Get the weather.")
        ),
        "parameters": parameters,
    }
    return {"type": "function", "function": function}, question, (name, arguments)


def functions(words: Words, count: int) -> list[Function]:
    """Draw functions of different names; now and then two of one verb or one thing."""
    made: dict[str, Function] = {}
    while len(made) < count:
        function = Function(words)
        if made and words.chance(0.3 if words.evaluation else 0.45):
            other = words.pick(list(made.values()))
            if words.chance(0.5):
                function.verb = other.verb
            else:
                function.noun = other.noun
            function.name = f"{function.verb}_{function.noun}"
            function.description = f"{function.verb.capitalize()} the {phrase(function.noun)}."
        made.setdefault(function.name, function)
    return list(made.values())


def thought(calls: list[Call]) -> str:
    """Reason about calls: which function."""
    names = " and ".join(name for name, _ in calls)
    return f"I use {names}."


def one_call(words: Words, *, thinking: bool) -> Dialogue:
    """Make a request for one call."""
    others = words.pick((0, 1, 1, 2, 2, 3))
    style = words.random.randint(0, 2)
    made = functions(words, others + 1)
    tools = [function.schema(words, style) for function in made]
    function = words.pick(made)
    arguments = function.arguments(words)
    question = request(words, function, arguments) + words.pick((".", ".", ".", "", "?"))
    call: Call = (function.name, arguments)
    if words.chance(0.12):
        schema, question, call = weather(words)
        tools[-1] = schema
        words.random.shuffle(tools)
    return _calling("tool", question, tools, [call], thinking=thinking)


def two_calls(words: Words, *, thinking: bool) -> Dialogue:
    """Make a request for two calls in one turn, of two functions or of one."""
    style = words.random.randint(0, 2)
    made = functions(words, words.pick((1, 2, 2, 3)))
    tools = [function.schema(words, style) for function in made]
    first, second = words.pick(made), words.pick(made)
    if len(made) > 1 and words.chance(0.7):
        while second is first:
            second = words.pick(made)
    pair = [(function.name, function.arguments(words)) for function in (first, second)]
    asked = [
        request(words, function, call[1])
        for function, call in zip((first, second), pair, strict=True)
    ]
    then = words.pick((". Then ", ", then ", ". Also ", ", and ", "; "))
    second_half = asked[1][0].lower() + asked[1][1:]
    if words.chance(0.15):
        schema, _, (name, arguments) = weather(words)
        key = next(iter(arguments))
        other = words.place()
        pair = [(name, {key: arguments[key]}), (name, {key: other})]
        tools = [schema, *tools[:1]]
        asked_of = words.pick(
            ("What is the weather in {} and in {}?", "What is the weather in {} and {}?",
             "Weather in {} and {}?", "Compare the weather in {} and {}.")
        )  # fmt: skip
        question = asked_of.format(arguments[key], other)
    else:
        question = asked[0] + then + second_half + "."
    return _calling("two calls", question, tools, pair, thinking=thinking)


def result(words: Words, *, thinking: bool) -> Dialogue:
    """Make a call, its result, and an answer that says it."""
    dialogue = one_call(words, thinking=thinking)
    dialogue.messages += _answered(words, thinking=thinking)
    dialogue.kind = "tool result"
    return dialogue


def tool_turns(words: Words, *, thinking: bool) -> Dialogue:
    """Make two or three requests in one dialogue, the last of them not answered yet."""
    style = words.random.randint(0, 2)
    made = functions(words, words.pick((1, 2, 2, 3)))
    messages: list[Message] = []
    call: Call = ("", {})
    for turn in range(words.pick((2, 2, 3))):
        if turn:
            messages += _answered(words, thinking=thinking)
        function = words.pick(made)
        call = (function.name, function.arguments(words))
        question = request(words, function, call[1]) + "."
        messages += [
            user(question),
            assistant(None, call, reasoning=thought([call]) if thinking else ""),
        ]
    tools = [function.schema(words, style) for function in made]
    return Dialogue("tool turns", messages, thinking, tools, calls=[call])


def _answered(words: Words, *, thinking: bool) -> list[Message]:
    """Draw what a tool gives back, and the answer that says it."""
    if words.chance(0.35):
        sources: list[Callable[[], object]] = [words.noun, words.name, words.integer]
        drawn = [words.pick(sources)() for _ in range(6)]
        said_by_tool = " ".join(map(str, drawn[: words.random.randint(1, 6)]))
        text = words.pick(("ok", "done", *(said_by_tool,) * 4))
        answer = f"The result is {text}."
    else:
        values: dict[str, Any] = {}
        for noun in words.nouns(words.pick((1, 2, 2, 3))):
            key = noun if words.chance(0.5) else words.of(PARAMETERS)
            value = words.pick((words.integer(), words.noun(), words.name(), words.decimal()))
            if words.chance(0.2):
                key, value = words.pick(WEATHER_KEYS), words.pick((value, *WEATHERS))
            values[key] = value
        # As Python writes it, and as most others do.
        text = json.dumps(values, separators=words.pick(((", ", ": "), (",", ":"))))
        said = [f"the {phrase(key)} is {spoken(value)}" for key, value in values.items()]
        answer = (", ".join(said[:-1]) + " and " if said[1:] else "") + said[-1] + "."
        answer = answer[0].upper() + answer[1:]
    reasoning = "The result is here." if thinking else ""
    return [tool(text), assistant(answer, reasoning=reasoning)]


def _calling(
    kind: str, question: str, tools: list[dict[str, Any]], calls: list[Call], *, thinking: bool
) -> Dialogue:
    reply = assistant(None, *calls, reasoning=thought(calls) if thinking else "")
    dialogue = Dialogue(kind, [user(question), reply], thinking, tools, calls=calls)
    if len(question) % 8 == 0:
        dialogue.messages.insert(0, system("You are a helpful assistant."))
    return dialogue
