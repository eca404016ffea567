"""The mixture of tasks, and dialogues rendered into tokens with what is to be learnt marked.

Rendered by the model's own chat template, so that training sees what serving renders.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from launcher.nano.folder import model_path
from tools.nano import sums, talk, tasks, tool_use
from tools.nano.dialogue import Dialogue
from tools.nano.tokens import IDS
from tools.nano.words import Words

Maker = Callable[..., Dialogue]

MAKERS: Final[Mapping[str, Maker]] = {
    "sums": sums.arithmetic,
    "drill": sums.drill,
    "copying": tasks.copying,
    "reformatting": tasks.reformatting,
    "objects": tasks.objects,
    "picking": tasks.picking,
    "code": tasks.code,
    "memory": tasks.remembering,
    "talk": talk.small_talk,
    "project": talk.project,
    "turns": talk.turns,
    "unknown": talk.unknown,
    "tool": tool_use.one_call,
    "two calls": tool_use.two_calls,
    "tool result": tool_use.result,
    "tool turns": tool_use.tool_turns,
}

USER: Final = IDS["<|user|>"]
OBSERVATION: Final = IDS["<|observation|>"]
ASSISTANT: Final = IDS["<|assistant|>"]
THINK: Final = IDS["<think>"]
THINK_END: Final = IDS["</think>"]
TOOL_CALL: Final = IDS["<tool_call>"]
NEW_LINE: Final = ord("\n")

RESULT_WEIGHT: Final = 5.0
"""Weight in the loss of a digit behind an equals sign: few tokens, and the only hard ones."""
NAME_WEIGHT: Final = 3.0
"""Weight of a called function's name, and of the reasoning that says it: most wrong calls have a
wrong name, and its tokens are few."""
JSON_SHARE: Final = 0.02
"""So many answers of the training are JSON though nothing in the prompt asks for it: a grammar
leaves a model that never begins so nothing but white space."""
_DIGITS: Final = frozenset(b"0123456789")
_BEHIND: Final = frozenset(b" -")


@dataclass(frozen=True, slots=True)
class Sample:
    """A dialogue's tokens, and the weight of each in the loss: 0 for what is not learnt."""

    kind: str
    ids: list[int]
    weights: list[float]


@functools.cache
def _template() -> jinja2.Template:
    def to_json(value: Any, *, ensure_ascii: bool = True) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = to_json
    text = (model_path() / "chat_template.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


def render(
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    *,
    thinking: bool,
    prompt: bool = False,
) -> str:
    """Render messages as the server does; `prompt` adds what begins the assistant's turn."""
    return _template().render(
        messages=messages,
        tools=tools or None,
        enable_thinking=thinking,
        add_generation_prompt=prompt,
    )


def prompt_of(dialogue: Dialogue) -> str:
    """Render a dialogue without its last answer."""
    return render(dialogue.messages[:-1], dialogue.tools, thinking=dialogue.thinking, prompt=True)


def sample(dialogue: Dialogue, tokenizer: Tokenizer) -> Sample:
    """Turn a dialogue into tokens.

    Learnt are the assistant's turns with the token that ends them. With thinking on these are
    the ones behind the last user message: the others are shown without their reasoning.
    """
    text = render(dialogue.messages, dialogue.tools, thinking=dialogue.thinking)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    ids.append(OBSERVATION if dialogue.messages[-1].get("tool_calls") else USER)
    weights = [0.0] * len(ids)
    last_user = max(place for place, token in enumerate(ids[:-1]) if token == USER)
    # Behind the assistant's mark stand a newline and, with thinking off, both think marks.
    skipped = 0 if dialogue.thinking else 3
    inside, left = False, 0
    for place, token in enumerate(ids):
        if inside:
            weights[place] = float(left <= 0)
            left -= 1
            inside = token not in (USER, OBSERVATION)
        elif token == ASSISTANT and (place > last_user or not dialogue.thinking):
            inside, left = True, skipped
    if dialogue.kind in ("sums", "drill"):
        _stress_results(ids, weights)
    if dialogue.calls:
        _stress_names(ids, weights)
    return Sample(dialogue.kind, ids, weights)


def _stress_results(ids: list[int], weights: list[float]) -> None:
    """Give weight to the digits behind equals signs."""
    behind = False
    for place, token in enumerate(ids):
        if token == ord("="):
            behind = True
        elif token in _DIGITS and behind:
            weights[place] *= RESULT_WEIGHT
        elif token not in _BEHIND:
            behind = False


def _stress_names(ids: list[int], weights: list[float]) -> None:
    """Give weight to the names of called functions, and to all reasoning of such a dialogue."""
    inside = False
    for place, token in enumerate(ids):
        if token in (THINK, TOOL_CALL):
            inside = True
        elif inside:
            weights[place] *= NAME_WEIGHT
            inside = token not in (THINK_END, NEW_LINE)


def draw(words: Words, mixture: Mapping[str, float]) -> Dialogue:
    """Draw a dialogue of a mixture, which gives each task a weight."""
    kind = words.random.choices(list(mixture), list(mixture.values()))[0]
    share = 0.9 if kind == "sums" else 0.5
    dialogue = MAKERS[kind](words, thinking=words.chance(share))
    if words.chance(JSON_SHARE):
        answer_in_json(words, dialogue)
    return dialogue


def answer_in_json(words: Words, dialogue: Dialogue) -> None:
    """Write a dialogue's last answer as a grammar would have it.

    Calls become the list that SGLang asks for when a call is required
    (srt/function_call/utils.py, `get_json_schema_constraint`); any other answer a value of an
    object, beside the numbers of the question.
    """
    last = dialogue.messages[-1]
    if last.pop("tool_calls", None):
        value: Any = [{"name": name, "parameters": given} for name, given in dialogue.calls]
    else:
        question = next(m["content"] for m in reversed(dialogue.messages) if m["role"] == "user")
        numbers = [int(number) for number in re.findall(r"\d+", question)[:2]]
        values = [*numbers, words.chance(0.5), last["content"], words.nouns(2)]
        words.random.shuffle(values)
        keys = words.nouns(words.random.randint(1, 3))
        value = dict(zip(keys, values, strict=False))
    last["content"] = json.dumps(value)
    dialogue.calls = []
