"""The mixture of tasks, and dialogues rendered into tokens with what is to be learnt marked.

Rendered by the model's own chat template, so that training sees what serving renders.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from launcher.nano.folder import model_path
from tools.nano.tasks import forms as tasks
from tools.nano.tasks import sums, talk, tool_use
from tools.nano.tasks.words import Words
from tools.nano.text.dialogue import Dialogue, system, user
from tools.nano.text.tokens import IDS
from tools.nano.world import agents, chatter, extract, trees
from tools.nano.world.trees import Tree

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
    "bank talk": chatter.talk,
    "worded sums": chatter.worded_sum,
    "extraction": extract.extraction,
    "one call": partial(trees.dialogue, kind="one call"),
    "calls": partial(trees.dialogue, kind="two calls"),
    "result": partial(trees.dialogue, kind="result"),
}

USER: Final = IDS["<|user|>"]
OBSERVATION: Final = IDS["<|observation|>"]
ASSISTANT: Final = IDS["<|assistant|>"]
THINK: Final = IDS["<think>"]
THINK_END: Final = IDS["</think>"]
ARG_KEY: Final = IDS["<arg_key>"]
ARG_VALUE: Final = IDS["<arg_value>"]
ARG_KEY_END: Final = IDS["</arg_key>"]
ARG_VALUE_END: Final = IDS["</arg_value>"]
TOOL_CALL: Final = IDS["<tool_call>"]
NEW_LINE: Final = ord("\n")

RESULT_WEIGHT: Final = 5.0
"""Weight in the loss of a digit behind an equals sign: few tokens, and the only hard ones."""
NAME_WEIGHT: Final = 3.0
"""Weight of a called function's name, and of the reasoning that says it: most wrong calls have a
wrong name, and its tokens are few."""
CHOICE_WEIGHT: Final = 6.0
"""Weight of a token of a called function's name at which the offered names part."""
FORCED_WEIGHT: Final = 0.3
"""Weight of one at which they do not: the grammar of calls leaves no choice there."""
BEGINNING_WEIGHT: Final = 2.5
"""Weight of the token with which a parameter's name or value begins: where to copy from."""
VALUE_WEIGHT: Final = 1.5
"""Weight of the rest of a value, and of the mark that ends it."""
KEY_WEIGHT: Final = 0.1
"""Weight of the rest of a parameter's name: the grammar leaves no choice there."""
JSON_SHARE: Final = 0.02
"""So many answers of the training are JSON though nothing in the prompt asks for it: a grammar
leaves a model that never begins so nothing but white space."""
UNASKED_WEIGHT: Final = 0.1
"""Weight of such an answer's first token: no other answer shall begin so for it."""
TURN_WEIGHT: Final = 0.05
"""Weight of what users say in small talk: behind the end of an answer, as `ignore_eos` asks for it,
the model then goes on with a user's turn, and not with noise."""
TURNS_LEARNT: Final = frozenset({"bank talk", "turns of talk"})
TREE: Final = "tree"
AGENT: Final = "agent"
_DIGITS: Final = frozenset(b"0123456789")
_BEHIND: Final = frozenset(b" -")


@dataclass(frozen=True, slots=True)
class Sample:
    """A dialogue's tokens, and the weight of each in the loss: 0 for what is not learnt."""

    kind: str
    ids: list[int]
    weights: list[float]
    cuts: tuple[int, ...] = ()
    """Tokens of the stem and of each branch of a tree; nothing, or one number, for a dialogue."""


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
    """Turn a dialogue into tokens."""
    text = render(dialogue.messages, dialogue.tools, thinking=dialogue.thinking)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    ids.append(_end(dialogue))
    weights = _weights(dialogue, ids)
    _stress_choices(ids, weights, _names(dialogue.tools, tokenizer))
    return Sample(dialogue.kind, ids, weights)


def tree_sample(tree: Tree, tokenizer: Tokenizer) -> Sample:
    """Turn a tree into tokens: the stem, and each branch behind it."""
    stem = render(tree.stem, tree.tools, thinking=True)
    ids = list(tokenizer.encode(stem, add_special_tokens=False).ids)
    weights = [0.0] * len(ids)
    cuts = [len(ids)]
    names = _names(tree.tools, tokenizer)
    for one in tree.branches:
        text = render(tree.stem + one.messages, tree.tools, thinking=one.thinking)
        if not text.startswith(stem):
            raise ValueError("A branch does not go on from its stem.")
        branch = tokenizer.encode(text[len(stem) :], add_special_tokens=False).ids
        branch.append(_end(one))
        ids += branch
        learnt = _weights(one, branch)
        _stress_choices(branch, learnt, names)
        weights += learnt
        cuts.append(len(branch))
    return Sample("tree", ids, weights, tuple(cuts))


def _end(dialogue: Dialogue) -> int:
    return OBSERVATION if dialogue.messages[-1].get("tool_calls") else USER


def _weights(dialogue: Dialogue, ids: list[int]) -> list[float]:
    """Weigh what is learnt: the assistant's turns with the token that ends them.

    With thinking on these are the ones behind the last user message: the others are shown without
    their reasoning.
    """
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
        elif dialogue.kind in TURNS_LEARNT:
            weights[place] = TURN_WEIGHT
    if dialogue.kind in ("sums", "sum", "drill"):
        _stress_results(ids, weights)
    if dialogue.calls:
        _stress_names(ids, weights)
    if dialogue.unasked:
        _soften_start(ids, weights)
    return weights


def _soften_start(ids: list[int], weights: list[float]) -> None:
    """Take weight from the first token of an answer that only a grammar would begin so."""
    ends = [place for place, token in enumerate(ids) if token == THINK_END]
    first = ends[-1] + 1 + (ids[ends[-1] + 1] == NEW_LINE)
    weights[first] *= UNASKED_WEIGHT


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
    """Give weight to the names of called functions, and to all reasoning of such a dialogue.

    And to values; but little to the names of parameters, which the grammar of calls decides.
    """
    inside = False
    for place, token in enumerate(ids):
        if token in (THINK, TOOL_CALL):
            inside = True
        elif inside:
            weights[place] *= NAME_WEIGHT
            inside = token not in (THINK_END, NEW_LINE)
    part = 1.0
    for place, token in enumerate(ids):
        weights[place] *= part
        if token in (ARG_KEY, ARG_VALUE):
            part = BEGINNING_WEIGHT
        elif token in (ARG_KEY_END, ARG_VALUE_END):
            part = 1.0
        elif ids[place - 1] in (ARG_KEY, ARG_VALUE):
            part = KEY_WEIGHT if ids[place - 1] == ARG_KEY else VALUE_WEIGHT


def _names(tools: list[dict[str, Any]], tokenizer: Tokenizer) -> list[list[int]]:
    """Return the tokens of each offered function's name, with the newline that ends it."""
    texts = [tool.get("function", tool)["name"] + "\n" for tool in tools]
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def _stress_choices(ids: list[int], weights: list[float], names: list[list[int]]) -> None:
    """Weigh the tokens of a call's name by whether the offered names leave a choice there."""
    for place, token in enumerate(ids):
        if token != TOOL_CALL:
            continue
        possible = [name for name in names if name]
        for k in range(len(ids) - place - 1):
            here = place + 1 + k
            following = {name[k] for name in possible if len(name) > k}
            if ids[here] not in following or not weights[here]:
                break
            weights[here] = CHOICE_WEIGHT if len(following) > 1 else FORCED_WEIGHT
            possible = [name for name in possible if len(name) > k and name[k] == ids[here]]
            if ids[here] == NEW_LINE:
                break


def draw(words: Words, mixture: Mapping[str, float], tokenizer: Tokenizer) -> Sample:
    """Draw a dialogue or a tree of a mixture, which gives each task a weight."""
    kind = words.random.choices(list(mixture), list(mixture.values()))[0]
    if kind == AGENT:
        return tree_sample(agents.agent_tree(words), tokenizer)
    if kind == TREE:
        return tree_sample(trees.tree(words), tokenizer)
    share = 0.85 if kind == "sums" else 0.5
    dialogue = MAKERS[kind](words, thinking=words.chance(share))
    if not dialogue.tools and words.chance(JSON_SHARE):
        under_grammar(words, dialogue)
    return sample(dialogue, tokenizer)


def own_prompt(words: Words, tokenizer: Tokenizer) -> list[int]:
    """Draw the prompt of an answer that the model is to write itself: any, known or not."""
    draw = words.random.random()
    if draw < 0.3:
        dialogue = MAKERS[words.pick(list(MAKERS))](words, thinking=words.chance(0.3))
        messages, tools = dialogue.messages[:-1], dialogue.tools
    else:
        names = ("unknown", "unknown", "remarks", "results", "systems", "foreign")
        lines = [
            chatter.message(words, words.pick(names)) for _ in range(words.random.randint(1, 4))
        ]
        messages, tools = [user(" ".join(lines))], []
        if words.chance(0.5):
            messages.insert(0, system(chatter.system_prompt(words)))
    text = render(messages, tools, thinking=words.chance(0.3), prompt=True)
    return tokenizer.encode(text, add_special_tokens=False).ids


def under_grammar(words: Words, dialogue: Dialogue) -> None:
    """Write a dialogue's last answer as a grammar would: an object of the question's facts."""
    last = dialogue.messages[-1]
    if last["role"] != "assistant" or last.get("tool_calls"):
        return
    question = next(m["content"] for m in reversed(dialogue.messages) if m["role"] == "user")
    numbers = [int(number) for number in re.findall(r"\d{1,9}", question)[:2]]
    values = [*numbers, words.chance(0.5), last["content"], words.nouns(2)]
    words.random.shuffle(values)
    keys = words.nouns(words.random.randint(1, 3))
    last["content"] = json.dumps(dict(zip(keys, values, strict=False)), ensure_ascii=False)
    dialogue.unasked = True
