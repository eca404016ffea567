"""Prompts with tools, from which many answers branch: the schemas are read once for all of them.

A branch sees the prompt and itself, as if it were the only one: attention is masked so, and places
are counted on from the prompt's end. Most of a call's dialogue is its prompt, so that a step of the
training learns from several times as many answers.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from tools.nano.tasks.tool_use import thought
from tools.nano.tasks.words import Words
from tools.nano.text.dialogue import Call, Dialogue, Message, assistant, system, tool, user
from tools.nano.world import chatter, results, scenes
from tools.nano.world.scenes import Tool
from tools.nano.world.values import Values

JOINTS: Final = (" and ", ", and ", ", then ", ". Then ", ". Also ", "; ", " and also ", ". And ")
COUNTS: Final = (1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 12)
KINDS: Final = {
    "one call": 54, "two calls": 12, "result": 10, "talk": 9, "sum": 2, "lacking": 3, "beside": 3,
    "turns": 7,
}  # fmt: skip
BRANCHES: Final = (8, 9, 10, 11, 12)


@dataclass(slots=True)
class Tree:
    """A prompt with tools, and dialogues that each go on from it.

    Attributes:
        tools: the functions, as the OpenAI API has them.
        stem: messages of all branches: a system prompt, or none.
        branches: each with the messages behind the stem.
    """

    tools: list[dict[str, Any]]
    stem: list[Message]
    branches: list[Dialogue] = field(default_factory=list)


def answer(calls: list[Call], *, thinking: bool) -> Message:
    """Make the turn that calls."""
    return assistant(None, *calls, reasoning=thought(calls) if thinking else "")


def one_call(words: Words, drawn: list[Tool], *, thinking: bool) -> Dialogue:
    """Make a request for one call."""
    chosen = words.pick(drawn)
    text, arguments = chosen.wish(words)
    calls = [(chosen.name, arguments)]
    return Dialogue("one call", [user(text), answer(calls, thinking=thinking)], thinking,
                    calls=calls)  # fmt: skip


def two_calls(words: Words, drawn: list[Tool], *, thinking: bool) -> Dialogue:
    """Make a request with two wishes; now and then three, or twice the same tool."""
    count = 3 if words.chance(0.08) else 2
    chosen = [words.pick(drawn) for _ in range(count)]
    if len(drawn) > 1 and words.chance(0.6):
        chosen[:2] = words.random.sample(drawn, 2)
    if len({one.name for one in chosen}) == 1 and words.chance(0.7):
        pair = _shared(words, chosen[0])
        if pair is not None:
            text, calls = pair
            return Dialogue("two calls", [user(text), answer(calls, thinking=thinking)], thinking,
                            calls=calls)  # fmt: skip
    calls, texts = [], []
    for one in chosen:
        text, arguments = one.wish(words)
        calls.append((one.name, arguments))
        texts.append(text)
    return Dialogue(
        "two calls", [user(_joined(words, texts)), answer(calls, thinking=thinking)], thinking,
        calls=calls,
    )  # fmt: skip


def _joined(words: Words, texts: list[str]) -> str:
    text = texts[0]
    for other in texts[1:]:
        joint = words.pick(JOINTS)
        if text[-1] in ".!?" and words.chance(0.5):
            text += words.pick((" ", " Also, ", " And ", "\n")) + other
            continue
        keeps = joint.startswith(".") or other[:2] in {"I ", "I'"} or not other[:1].isupper()
        text = text.rstrip(".!? ") + joint + (other if keeps else other[0].lower() + other[1:])
    return text


def _shared(words: Words, one: Tool) -> tuple[str, list[Call]] | None:
    """Ask once for two values of one parameter: "the weather in Oslo and in Rome"."""
    keys = [key for key, part in one.fields.items() if part.type == "string" and not part.enum]
    if not keys or one.scene is None:
        return None
    key = words.pick(keys)
    state = words.random.getstate()
    text, arguments = one.wish(words)
    name = one.fields[key].name
    value = arguments.get(name)
    if not isinstance(value, str) or text.count(value) != 1 or len(value) < 2:
        words.random.setstate(state)
        return None
    values = Values(words)
    parameter = one.scene["parameters"].get(key, {})
    other = values.text(parameter.get("of", ""), [str(x) for x in parameter.get("examples", ())])
    if other == value or other in text:
        return None
    joint = words.pick((" and ", " and ", " and for ", " and in ", ", and then ", " as well as "))
    lead = text[: text.index(value)].rstrip().rsplit(" ", 1)[-1]
    if joint in {" and for ", " and in "}:
        joint = (
            f" and {lead} " if lead in {"for", "in", "of", "to", "from", "at", "on"} else " and "
        )
    if '"' in text:
        joint = '" and "' if f'"{value}"' in text else " and "
    return text.replace(value, f"{value}{joint}{other}"), [
        (one.name, arguments), (one.name, arguments | {name: other}),
    ]  # fmt: skip


def with_result(words: Words, drawn: list[Tool], *, thinking: bool) -> Dialogue:
    """Make a call, its result, and the sentence that says it; now and then of two calls."""
    maker = two_calls if words.chance(0.2) else one_call
    dialogue = maker(words, drawn, thinking=thinking)
    said = []
    for _ in dialogue.calls:
        text, sentence = results.result(words)
        dialogue.messages.append(tool(text))
        said.append(sentence)
    dialogue.messages.append(
        assistant("\n".join(said), reasoning="The result is here." if thinking else "")
    )
    dialogue.kind = "result"
    return dialogue


def words_only(words: Words, *, thinking: bool) -> Dialogue:
    """Make small talk, or something that no tool is for."""
    said = chatter.exchange(words, chatter.WITH_TOOLS)
    return Dialogue("talk", chatter.as_messages(said, thinking=thinking), thinking)


def sum_(words: Words, *, thinking: bool) -> Dialogue:
    """Make a sum that is worked out without a tool."""
    said, number = chatter.sum_(words, thinking=thinking)
    return Dialogue("sum", chatter.as_messages(said, thinking=thinking), thinking, number=number)


def lacking(words: Words, drawn: list[Tool], *, thinking: bool) -> Dialogue:
    """Make a request that does not say what the call needs."""
    text = words.pick(drawn).lacking(words)
    if not text:
        return one_call(words, drawn, thinking=thinking)
    said = (text, "Something is missing.", chatter.LACKING)
    return Dialogue("lacking", chatter.as_messages(said, thinking=thinking), thinking)


def beside(words: Words, drawn: list[Tool], *, thinking: bool) -> Dialogue:
    """Make a message near a tool's subject that wants no call."""
    text = words.pick(drawn).beside(words)
    if not text:
        return words_only(words, thinking=thinking)
    asks = text.rstrip().endswith("?")
    reasoning, reply = chatter.ANSWERS["unknown" if asks else "remarks"]
    return Dialogue("beside", chatter.as_messages((text, reasoning, reply), thinking=thinking),
                    thinking)  # fmt: skip


def turns(words: Words, drawn: list[Tool], *, thinking: bool) -> Dialogue:
    """Make two to four requests of any kind, one behind the other."""
    dialogue = Dialogue("turns", [], thinking)
    for _ in range(words.pick((2, 2, 2, 3, 4))):
        draw = words.random.random()
        if draw < 0.4:
            part = with_result(words, drawn, thinking=thinking)
        elif draw < 0.65:
            part = words_only(words, thinking=thinking)
        elif draw < 0.72:
            part = sum_(words, thinking=thinking)
        else:
            part = one_call(words, drawn, thinking=thinking)
            text, sentence = results.result(words)
            dialogue.messages += part.messages
            dialogue.calls = part.calls
            if words.chance(0.5):
                break
            reply = assistant(sentence, reasoning="The result is here." if thinking else "")
            dialogue.messages += [tool(text), reply]
            continue
        dialogue.messages += part.messages
        dialogue.calls = part.calls if part.messages[-1].get("tool_calls") else []
    return dialogue


def branch(words: Words, drawn: list[Tool], *, thinking: bool) -> Dialogue:
    """Draw one dialogue that goes on from a prompt with these tools."""
    kind = words.random.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "talk":
        return words_only(words, thinking=thinking)
    if kind == "sum":
        return sum_(words, thinking=thinking)
    makers = {
        "one call": one_call, "two calls": two_calls, "result": with_result, "lacking": lacking,
        "beside": beside, "turns": turns,
    }  # fmt: skip
    return makers[kind](words, drawn, thinking=thinking)


def tree(words: Words) -> Tree:
    """Draw a prompt and its branches."""
    box = scenes.toolbox(words)
    drawn = scenes.tools(words, box, words.pick(COUNTS))
    stem = [system(chatter.system_prompt(words))] if words.chance(0.25) else []
    made = Tree([one.schema for one in drawn], stem)
    for _ in range(words.pick(BRANCHES)):
        made.branches.append(branch(words, drawn, thinking=words.chance(0.5)))
    return made


def dialogue(words: Words, *, thinking: bool, kind: str) -> Dialogue:
    """Make one whole dialogue with tools, as the evaluation asks."""
    box = scenes.toolbox(words)
    drawn = scenes.tools(words, box, words.pick(COUNTS))
    makers = {"one call": one_call, "two calls": two_calls, "result": with_result}
    made = makers[kind](words, drawn, thinking=thinking)
    made.tools = [one.schema for one in drawn]
    if words.chance(0.25):
        made.messages.insert(0, system(chatter.system_prompt(words)))
    return made
