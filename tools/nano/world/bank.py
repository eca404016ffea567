r"""What people write, by hand: scenes of tools with requests for them, and messages of every kind.

`../bank/*.json` are lists of scenes: a tool, other names for it and its parameters, what values
they take, and requests in many wordings. `../bank/*.txt` are messages under headings (`== name`),
one a line, `\\n` for a new line.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any, Final

from tools.nano.tasks.words import NOUNS

FOLDER: Final = Path(__file__).parent.parent / "bank"
_WORD: Final = re.compile(r"[a-z]{3,}")


@functools.cache
def scenes() -> tuple[dict[str, Any], ...]:
    """Read every scene."""
    found: list[dict[str, Any]] = []
    for path in sorted(FOLDER.glob("*.json")):
        for scene in json.loads(path.read_text(encoding="utf-8")):
            found.append(scene | {"number": len(found)})
    return tuple(found)


@functools.cache
def _sections() -> dict[str, tuple[str, ...]]:
    """Read the messages under every heading."""
    found: dict[str, list[str]] = {}
    for path in sorted(FOLDER.glob("*.txt")):
        name = path.stem
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("== "):
                name = line.removeprefix("== ")
            elif line.strip():
                found.setdefault(name, []).append(line.replace("\\n", "\n"))
    return {name: tuple(messages) for name, messages in found.items()}


@functools.cache
def lines(*names: str) -> tuple[str, ...]:
    """The messages under these headings."""
    return tuple(message for name in names for message in _sections()[name])


def headings() -> tuple[str, ...]:
    """The headings of all messages."""
    return tuple(_sections())


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """The words of all requests, each once, in small letters: any of them may be a value."""
    texts = [ask for scene in scenes() for ask in scene["asks"]]
    found = dict.fromkeys(
        word for text in texts for word in _WORD.findall(re.sub(r"\{.*?\}", " ", text.lower()))
    )
    return (*found, *NOUNS)
