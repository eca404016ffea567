"""Names of tools and parameters in every style, real or made up."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from tools.nano.tasks.words import Words
from tools.nano.world import bank

_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def spoken(name: str) -> str:
    """Say a name of any style in words: `getUserName` and `user-name` alike."""
    return " ".join(part.lower() for part in _PARTS.findall(name)) or name


def _snake(parts: Sequence[str]) -> str:
    return "_".join(parts)


def _camel(parts: Sequence[str]) -> str:
    return parts[0] + "".join(part.capitalize() for part in parts[1:])


def _pascal(parts: Sequence[str]) -> str:
    return "".join(part.capitalize() for part in parts)


def _kebab(parts: Sequence[str]) -> str:
    return "-".join(parts)


def _upper(parts: Sequence[str]) -> str:
    return "_".join(parts).upper()


def _flat(parts: Sequence[str]) -> str:
    return "".join(parts)


Style = Callable[[Sequence[str]], str]
TOOL_STYLES: Final[tuple[tuple[Style, float], ...]] = (
    (_snake, 5), (_camel, 2.5), (_pascal, 1), (_kebab, 1), (_upper, 0.4), (_flat, 0.4),
)  # fmt: skip
PARAMETER_STYLES: Final[tuple[tuple[Style, float], ...]] = (
    (_snake, 5), (_camel, 3), (_pascal, 0.5), (_kebab, 0.5), (_upper, 0.4), (_flat, 0.4),
)  # fmt: skip


def style(words: Words, styles: Sequence[tuple[Style, float]]) -> Style:
    """Draw a style."""
    return words.random.choices([one for one, _ in styles], [share for _, share in styles])[0]


def any_word(words: Words) -> str:
    """Draw a word for a name: of the bank, a noun, a syllable or two, single letters."""
    draw = words.random.random()
    if draw < 0.3:
        return words.pick(bank.vocabulary())
    if draw < 0.5:
        return words.noun()
    return words.invented() if draw < 0.8 else words.letters()


def tool_name(words: Words, names: Sequence[str], styled: Style) -> str:
    """Draw a tool's name.

    Args:
        words: what draws.
        names: natural ones, in snake case; empty for a name that says nothing.
        styled: how the server of the tool writes names.
    """
    draw = words.random.random()
    if not names or draw < 0.06:
        parts = [any_word(words) for _ in range(words.pick((1, 2, 2, 3)))]
    elif draw < 0.12:
        parts = words.pick(names).split("_")
        parts[words.random.randrange(len(parts))] = any_word(words)
    else:
        parts = words.pick(names).split("_")
    name = styled(parts)
    draw = words.random.random()
    if draw < 0.06:
        return f"mcp__{any_word(words)}__{name}"
    if draw < 0.11:
        return f"{any_word(words)}.{name}"
    if draw < 0.15:
        return f"{any_word(words)}{words.pick(('_', '-', '__', '/', ':'))}{name}"
    if draw < 0.19:
        return f"{name}{words.pick(('_v', 'V', '', '_', '-'))}{words.random.randint(1, 99)}"
    if draw < 0.20:
        return words.random.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return name


def parameter_name(words: Words, names: Sequence[str], styled: Style, odd: float) -> str:
    """Draw a parameter's name; with probability `odd` one that says nothing."""
    if not names or words.chance(odd):
        draw = words.random.random()
        if draw < 0.15:
            return words.random.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHXYZ")
        if draw < 0.25:
            lead = words.pick(("$", "@", "_", "x-", "p_", "arg", "in."))
            return f"{lead}{any_word(words)}"
        parts = [any_word(words) for _ in range(words.pick((1, 1, 2)))]
        if draw < 0.35:
            parts[-1] += str(words.random.randint(1, 9))
        return styled(parts)
    parts = words.pick(names).split("_")
    draw = words.random.random()
    if draw < 0.06:
        parts.append(any_word(words))
    elif draw < 0.1:
        parts.insert(0, any_word(words))
    name = styled(parts)
    return f"${name}" if draw > 0.985 else name
