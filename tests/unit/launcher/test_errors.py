"""The errors are the tree that their module draws."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from launcher import errors
from launcher.errors import LauncherError

DRAWN = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: +(?P<code>\d+))?(?:  .*)?$")


def drawn_tree() -> list[tuple[int, str, int]]:
    """Depth, name and exit code of each class as drawn."""
    assert errors.__doc__ is not None
    paragraph = errors.__doc__.split("\n\n")[1]
    rows = [DRAWN.match(line) for line in paragraph.splitlines()]
    return [
        (len(row["indent"]) // 4, row["name"], int(row["code"] or LauncherError.exit_code))
        for row in rows
        if row is not None
    ]


def real_tree(
    error: type[LauncherError] = LauncherError, depth: int = 0
) -> Iterator[tuple[int, str, int]]:
    yield depth, error.__name__, error.exit_code
    for subclass in error.__subclasses__():
        yield from real_tree(subclass, depth + 1)


def test_the_drawn_tree_is_the_real_one() -> None:
    assert errors.__doc__ is not None
    assert len(drawn_tree()) == len(errors.__doc__.split("\n\n")[1].splitlines())
    assert drawn_tree() == list(real_tree())


def test_every_exit_code_belongs_to_one_error_and_fits_a_process() -> None:
    codes = Counter(code for _, _, code in real_tree())

    assert set(codes.values()) == {1}
    assert codes.keys() <= set(range(1, 126))
    # Taken: by click for wrong usage.
    assert 2 not in codes


def test_a_code_lies_between_its_parent_s_and_the_next_parent_s() -> None:
    tree = list(real_tree())
    groups = [code for depth, _, code in tree if depth == 1]
    for depth, name, code in tree:
        if depth == 1:
            parent = code
        elif depth == 2:
            assert parent == max(group for group in groups if group < code), name


def test_an_error_says_what_is_wrong_what_to_do_and_why() -> None:
    error = errors.PortInUseError("Port 1 is taken.", action="Take another.", evidence=("line",))

    assert str(error) == error.problem == "Port 1 is taken."
    assert (error.action, error.evidence, error.exit_code) == ("Take another.", ("line",), 21)
    assert errors.StopError("x", action="y").evidence == ()
