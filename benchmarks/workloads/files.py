"""A file of prompts as a workload: a user's own JSONL of messages, or ShareGPT's format.

Which of the two is told by what the file holds, not by its name. A file is used whole or not at
all: each of its lines is checked, also those behind the last one that is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from benchmarks.errors import WorkloadError
from benchmarks.workloads import messages, sharegpt
from benchmarks.workloads.draw import Draw
from benchmarks.workloads.entries import FileEntry, read_entries, short
from benchmarks.workloads.workload import Prompt, Workload
from launcher.text import nearest

T = TypeVar("T")

MESSAGES_ACTION: Final = (
    "Correct it: an object has `messages` or `prompt`, and if you like `id`, `max_tokens`, "
    "`ignore_eos`, `tools`, and `options` for all other fields of a request."
)
SHAREGPT_ACTION: Final = (
    "Correct it: an object has `conversations`, a list of objects with `from` and `value`."
)


def load_file(path: Path, *, prompts: int, seed: int) -> Workload:
    """Read a file of prompts.

    A user's own file is taken in its order, the first `prompts` of it. A ShareGPT file is a body
    of text to draw from: the seed chooses, and more prompts begin with the fewer ones.

    Args:
        path: JSONL, or JSON that is one array.
        prompts: at most so many; a file with fewer gives all that it has.
        seed: for ShareGPT.

    Returns:
        The workload, named after the file.

    Raises:
        WorkloadError: the file cannot be used: its name, the line, and what is wrong.
    """
    if prompts < 1:
        raise WorkloadError(
            f"{prompts} prompts of {path.name} were asked for, and it takes at least 1.",
            action="Ask for 1 or more.",
        )
    entries = read_entries(path)
    if sharegpt.is_sharegpt(entries[0].value):
        return _from_sharegpt(path, entries, prompts=prompts, seed=seed)
    return _from_messages(path, entries, prompts)


def read_jsonl(path: Path) -> Workload:
    """Read all requests of a JSONL file in their order, as `Workload.to_jsonl` writes them.

    Raises:
        WorkloadError: the file cannot be used: its name, the line, and what is wrong.
    """
    entries = read_entries(path)
    return _from_messages(path, entries, len(entries))


def name_of(path: Path) -> str:
    """A workload's name from that of a file: letters, digits, dots, dashes and underscores."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")
    return name[:64] or "file"


def _from_messages(path: Path, entries: Sequence[FileEntry], prompts: int) -> Workload:
    read = [_checked(path.name, entry, messages.to_prompt, MESSAGES_ACTION) for entry in entries]
    _refuse_twice(path.name, entries, read)
    return Workload(
        name_of(path),
        "A user's own requests.",
        tuple(read[:prompts]),
        f"{path.name}, messages, {min(prompts, len(read))} of {len(read)}; answers of at most "
        "`max_tokens`, else as long as the reference answer (a token for each "
        f"{messages.BYTES_PER_TOKEN} bytes), else {messages.DEFAULT_MAX_TOKENS} tokens",
    )


def _from_sharegpt(
    path: Path, entries: Sequence[FileEntry], *, prompts: int, seed: int
) -> Workload:
    read = [_checked(path.name, entry, sharegpt.to_prompt, SHAREGPT_ACTION) for entry in entries]
    usable = [(entry, one) for entry, one in zip(entries, read, strict=True) if one is not None]
    if not usable:
        raise WorkloadError(
            f"None of the {len(read)} conversations of {path.name} has a question of a human "
            "with an answer behind it.",
            action="Give at least one turn `from` human, and one `from` gpt right after it.",
        )
    draw = Draw("sharegpt", seed)
    chosen = []
    seen: set[str] = set()
    for entry, prompt in draw.some(usable, prompts):
        # Its ids are not always unique, and whoever has such a file did not write it.
        one = replace(prompt, id=f"{prompt.id}#{entry.number}") if prompt.id in seen else prompt
        seen.add(one.id)
        chosen.append(one)
    return Workload(
        name_of(path),
        "Recorded questions of people to a chat model, each without its history.",
        tuple(chosen),
        f"{path.name}, ShareGPT, {len(chosen)} of {len(usable)} drawn with seed {seed}, "
        f"{len(read) - len(usable)} without question and answer left out; answers as long as the "
        f"recorded ones (a token for each {messages.BYTES_PER_TOKEN} bytes)",
    )


def _refuse_twice(name: str, entries: Sequence[FileEntry], prompts: Sequence[Prompt]) -> None:
    first: dict[str, FileEntry] = {}
    for entry, prompt in zip(entries, prompts, strict=True):
        before = first.setdefault(prompt.id, entry)
        if before is not entry:
            raise WorkloadError(
                f"{name}, {entry.unit} {entry.number}: the id {short(prompt.id)!r} is taken by "
                f"{before.unit} {before.number}.",
                action="Give each an `id` of its own, or none.",
            )


def _checked(
    name: str,
    entry: FileEntry,
    parse: Callable[[Any, str], T],
    action: str,
) -> T:
    where = f"{name}, {entry.unit} {entry.number}"
    if not isinstance(entry.value, dict | list):
        raise WorkloadError(f"{where}: it is neither an object nor a list.", action=action)
    try:
        return parse(entry.value, f"{entry.unit}-{entry.number}")
    except ValidationError as error:
        raise WorkloadError(f"{where}: {_describe(error)}.", action=action) from None
    except ValueError as error:
        raise WorkloadError(f"{where}: {error}.", action=action) from None


def _describe(error: ValidationError) -> str:
    """The first three problems, by the path of the value, without the values themselves."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    said = [_one(problem["type"], problem["loc"], problem["msg"]) for problem in problems[:3]]
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(said) + more


def _one(kind: str, location: tuple[int | str, ...], message: str) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    place = short(place.removeprefix("."))
    if kind == "extra_forbidden":
        return f"unknown key {place!r}{nearest(place, messages.RequestLine.model_fields)}"
    if kind == "missing":
        return f"{place!r} is missing"
    text = message.removeprefix("Value error, ")
    return f"{place!r}: {text[:1].lower()}{text[1:]}" if place else text
