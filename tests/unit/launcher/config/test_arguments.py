"""Options that are handed to the engine, read in both spellings."""

from __future__ import annotations

import pytest

from launcher.config.arguments.options import options_of


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), ()),
        (("--a", "1", "--b=2"), (("--a", "1"), ("--b", "2"))),
        (("--switch", "--a", "1"), (("--switch", ""), ("--a", "1"))),
        (("--a", "-1", "--last"), (("--a", "-1"), ("--last", ""))),
        (("--a", "1", "2", "stray"), (("--a", "1"),)),
        (("--a=", "--b=x=y"), (("--a", ""), ("--b", "x=y"))),
        (("--a", "1", "--a", "2"), (("--a", "1"), ("--a", "2"))),
    ],
)
def test_each_option_comes_with_its_value(
    arguments: tuple[str, ...], options: tuple[tuple[str, str], ...]
) -> None:
    assert options_of(arguments) == options
