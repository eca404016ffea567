"""Write the tokenizer into the training's folder: `python -m tools.nano.text.make_tokenizer`.

It goes into the model folder with the weights that were trained on it, and not before.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tools.nano.tasks import forms as tasks
from tools.nano.tasks import talk
from tools.nano.tasks.sums import QUESTIONS, reasoning
from tools.nano.text import tokenizer, tokens
from tools.nano.world import bank, chatter, results, values

FIXED_WEIGHT: Final = 6
"""What is answered in fixed words counts so often: it is written again and again."""
BEHIND_SPACE: Final = tuple(
    f" {word}"
    for word in """
    the a to of in is for you it and on me my I with please are do that at an from have up does was
    can many be what this all about by out need or there as should off so now want like has into
    how much i we see more between them back don some our did your know any not too if no when
    again where which would been than each who its just will they but every here still before after
    am could may its his her their then very
    """.split()
)
"""Words that have their space with them: common, and no value begins with one."""


def _parameters(parameters: dict[str, Any]) -> Iterator[str]:
    for name, one in parameters.items():
        yield from (name, *one.get("also", ()), *(one.get("descriptions") or ()))
        enum = one.get("enum") or {}
        if isinstance(enum, dict):
            for value, phrases in enum.items():
                yield from (value, *phrases)
        yield from (*(one.get("true") or ()), *(one.get("false") or ()))
        yield from _parameters(one.get("properties", {}))


def texts() -> Iterator[str]:
    """Give what the bank says, without the places of values."""
    for scene in bank.scenes():
        yield from (scene["name"], *scene["also"], *scene["descriptions"])
        yield from _parameters(scene["parameters"])
        for ask in (*scene["asks"], *scene["short"], *scene["not"]):
            parts = ask.replace("[", "").replace("]", "").split("{")
            yield from (parts[0], *(part.partition("}")[2] for part in parts[1:]))
    for name in bank.headings():
        if name != "foreign":
            yield from bank.lines(name)


SCHEMA_WORDS: Final = """
    integer boolean array object number string type properties required description additional
    Properties minimum maximum default enum items title any Of format schema json null true false
    https http examples example Length min max draft function strict name parameters value error
    message Error org com
"""


def fixed() -> Iterator[str]:
    """Give what is answered, reasoned and asked in fixed words."""
    for questions, thought, answer in (*talk.SMALL_TALK, *talk.PROJECT):
        yield from (questions.replace("|", " "), thought, answer)
    yield from (SCHEMA_WORDS, " ".join((*values.SMALL, *values.TENS, *values.WEEKDAYS)))
    for thought, answer in chatter.ANSWERS.values():
        yield from (thought, answer)
    yield from (chatter.LACKING, "The result is here. I use . Something is missing.")
    yield from (*results.KEYS, results.failed("x"), results.sentence([]), reasoning("+", 27, 35))
    yield from (reasoning("-", 42, 17), *QUESTIONS, *tasks.COPY)
    yield from (f"{does} {parameters} {body}" for does, parameters, body in tasks.BODIES)


def write(path: Path) -> None:
    """Count the words, and write the tokenizer."""
    counted: Counter[str] = tokenizer.counts(texts())[0]
    for word, count in tokenizer.counts(fixed())[0].items():
        counted[word] += FIXED_WEIGHT * count
    taken = len(set(tokenizer.PHRASES)) + len(set(BEHIND_SPACE)) + len(tokenizer.pieces())
    room = tokens.FIRST_ADDED - tokens.BYTES - taken
    # One letter is a byte, and two may be a piece: those have their tokens.
    known = {a + b for a, b in tokenizer.pieces()}
    words = [word for word, _ in counted.most_common() if len(word) > 1 and word not in known]
    made = tokenizer.make(words[:room], list(dict.fromkeys(BEHIND_SPACE)))
    made.save(str(path))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.nano.text.make_tokenizer", description=__doc__
    )
    parser.add_argument("--folder", type=Path, default=Path(".checkpoints"), metavar="DIR")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder / "tokenizer.json")


if __name__ == "__main__":
    main()
