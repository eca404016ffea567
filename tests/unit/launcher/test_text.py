"""What people read."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.cli.safe import terminal_safe as clients_terminal_safe
from launcher.text import human_bytes, human_seconds, nearest, terminal_safe

BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("prot", " (did you mean 'port'?)"), ("port", " (did you mean 'port'?)"), ("zzz", "")],
)
def test_the_nearest_name_is_offered_where_one_is_near(name: str, hint: str) -> None:
    assert nearest(name, iter(["host", "port", "tp_size"])) == hint


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**3, "1.0 GiB"),
        (int(104.85 * 1024**3), "104.8 GiB"),
        (1024**4, "1.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
        (-1536, "-1.5 KiB"),
    ],
)
def test_a_size_is_in_the_unit_that_suits_it(count: int, text: str) -> None:
    assert human_bytes(count) == text


@given(st.integers(0, 1024**5 - 1024**4))
def test_a_size_never_needs_more_than_four_digits(count: int) -> None:
    number, _ = human_bytes(count).split()

    assert float(number) < 1024


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (8.26, "8.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (11_220, "3 h 07 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_a_duration_is_in_the_units_that_suit_it(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


@given(st.floats(0, 1e6))
def test_a_duration_never_shows_sixty_of_anything(seconds: float) -> None:
    assert re.search(r"\b60(\.0)? (s|min)", human_seconds(seconds)) is None


# --- what a terminal would act on --------------------------------------------------------------


@given(st.text())
def test_a_terminal_safe_text_has_nothing_that_a_terminal_acts_on(text: str) -> None:
    shown = terminal_safe(text)

    assert not [one for one in shown if unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"}
                and one not in "\n\t"]  # fmt: skip
    assert not [one for one in shown if unicodedata.bidirectional(one) in BIDI_CONTROLS]
    shown.encode()
    # Twice is as once, since a table's cells go through it on several levels.
    assert terminal_safe(shown) == shown
    # The clients have a twin.
    assert clients_terminal_safe(text) == shown


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_a_text_of_letters_stays_as_it_is(text: str) -> None:
    assert terminal_safe(text) == text


def test_lines_stay_lines_and_colours_go() -> None:
    assert terminal_safe("a\tb\r\nc\n") == "a\tb\nc\n"
    assert terminal_safe("\x1b[1;31mred\x1b[0m") == "red"
    assert terminal_safe("\x1b[2Jgone") == "\\x1b[2Jgone"
    assert terminal_safe("half \udc80") == "half \\udc80"
