"""The six built-in workloads: what each stands for, how long it is, and its prompts.

Answers of `chat`, `code`, `long-prompt` and `long-answer` have exactly `max_tokens` tokens
(`ignore_eos`): two arms, or two models, that end an answer at different places would be timed
over different work, so a paired comparison needs equal lengths; `sglang.bench_serving` and
vLLM's do the same. `json` and `tools` end by themselves: a grammar and a tool call have an end,
and text behind it would be none that a user's traffic has. There `max_tokens` is a bound.

Thinking is off, so that the answer is what the kind's name says. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from benchmarks.errors import WorkloadError
from benchmarks.workloads.draw import Draw
from benchmarks.workloads.kinds import (
    chat,
    coding,
    long_answer,
    long_prompt,
    structured,
    tool_calls,
)
from benchmarks.workloads.kinds.writing import Draft
from benchmarks.workloads.lengths import Fixed, Length, LogNormal, Uniform
from benchmarks.workloads.workload import Prompt, Workload
from launcher.text import nearest

# Two drafts are seldom equal; this many times in a row means that a kind has run dry.
ATTEMPTS: Final = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """One built-in workload.

    Attributes:
        description: one line: the traffic that it stands for.
        prompt_words: of the user's text; what the schema of a tool adds is not counted.
        answer_tokens: `max_tokens`.
        ignores_end: each answer has exactly so many tokens.
        write: gives one request of about so many words.
        prompt_grows: a scale multiplies `prompt_words` too.
    """

    description: str
    prompt_words: Length
    answer_tokens: Length
    ignores_end: bool
    write: Callable[[Draw, int], Draft]
    prompt_grows: bool = True

    def scaled(self, factor: float) -> Kind:
        """The same with longer prompts and answers."""
        prompt_words = self.prompt_words.scaled(factor) if self.prompt_grows else self.prompt_words
        answer_tokens = self.answer_tokens.scaled(factor)
        return replace(self, prompt_words=prompt_words, answer_tokens=answer_tokens)

    @property
    def lengths(self) -> str:
        """For people and for a workload's source."""
        answers = self.answer_tokens.words("tokens")
        return (
            f"prompts of {self.prompt_words.words('words')}; "
            f"answers of {'' if self.ignores_end else 'at most '}{answers}"
        )


BUILT_IN: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "chat": Kind(
            "Everyday questions to an assistant, some in two turns: prompt and answer alike long.",
            prompt_words=LogNormal(60, 0.5, 30, 160),
            answer_tokens=LogNormal(64, 0.3, 48, 96),
            ignores_end=True,
            write=chat.write,
        ),
        "code": Kind(
            "A developer's functions to fix, test or translate: regular text, drafts hit often.",
            prompt_words=LogNormal(80, 0.4, 50, 180),
            answer_tokens=LogNormal(72, 0.3, 48, 96),
            ignores_end=True,
            write=coding.write,
        ),
        "json": Kind(
            "Fields pulled out of mails and notes under a JSON schema: the grammar narrows drafts.",
            prompt_words=LogNormal(70, 0.4, 40, 160),
            answer_tokens=Fixed(128),
            ignores_end=False,
            write=structured.write,
        ),
        "tools": Kind(
            "An agent's requests with two to four tools to choose from: short, structured answers.",
            prompt_words=Uniform(15, 45),
            answer_tokens=Fixed(128),
            ignores_end=False,
            write=tool_calls.write,
            prompt_grows=False,
        ),
        "long-prompt": Kind(
            "A document and a short question, as after a retrieval: prefill counts, decoding less.",
            prompt_words=Uniform(180, 260),
            answer_tokens=Uniform(16, 32),
            ignores_end=True,
            write=long_prompt.write,
        ),
        "long-answer": Kind(
            "One line that asks for pages: nearly all of the time is decoding, the most to win.",
            prompt_words=Uniform(20, 40),
            answer_tokens=Uniform(192, 256),
            ignores_end=True,
            write=long_answer.write,
            prompt_grows=False,
        ),
    }
)


def make(name: str, *, prompts: int, seed: int, scale: float = 1.0) -> Workload:
    """Give the prompts of a built-in workload.

    The same arguments give the same bytes on every machine, and more prompts begin with the
    fewer ones. No two prompts are equal.

    Args:
        name: in `BUILT_IN`.
        prompts: how many, 1 and up.
        seed: another seed gives other prompts of the same kind.
        scale: multiplies the lengths of answers, and of prompts where the kind lets them grow. At
            1 a small model on a CPU copes; 4 to 16 is closer to what a GPU serves.

    Returns:
        The workload, named `chat`, or `chat-x4` at another scale.

    Raises:
        WorkloadError: no such workload, or fewer than one prompt.
        PlanError: the scale is not above 0.
    """
    if name not in BUILT_IN:
        raise WorkloadError(
            f"There is no workload {name!r}{nearest(name, BUILT_IN)}.",
            action=f"Take one of {', '.join(BUILT_IN)}, or the path of a file.",
        )
    kind = BUILT_IN[name] if scale == 1 else BUILT_IN[name].scaled(scale)
    return Workload(
        name if scale == 1 else f"{name}-x{scale:g}",
        kind.description,
        generate(name, kind, prompts=prompts, seed=seed),
        f"built in, seed {seed}; {kind.lengths}",
    )


def generate(name: str, kind: Kind, *, prompts: int, seed: int) -> tuple[Prompt, ...]:
    """Give the prompts of a kind, built in or not; see `make`.

    Raises:
        WorkloadError: the kind has no further prompts that differ, or none was asked for.
    """
    if prompts < 1:
        raise WorkloadError(
            f"{prompts} prompts of {name!r} were asked for, and it takes at least 1.",
            action="Ask for 1 or more.",
        )
    made: list[Prompt] = []
    seen: set[str] = set()
    for index in range(prompts):
        for attempt in range(ATTEMPTS):
            # A stream for each prompt: how many come after it has no influence on it.
            draw = Draw(name, seed, index, attempt)
            words, tokens = kind.prompt_words.draw(draw), kind.answer_tokens.draw(draw)
            draft = kind.write(draw, words)
            text = repr(draft.messages)
            if text not in seen:
                break
        else:
            raise WorkloadError(
                f"The workload {name!r} has no more than {index} prompts that differ.",
                action=f"Ask for {index} at the most, or give a file of prompts.",
            )
        seen.add(text)
        options: dict[str, Any] = {
            **draft.options,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        made.append(
            Prompt(
                id=f"{name}-{index:04d}",
                messages=draft.messages,
                max_tokens=tokens,
                ignore_eos=kind.ignores_end,
                tools=draft.tools,
                options=options,
            )
        )
    return tuple(made)
