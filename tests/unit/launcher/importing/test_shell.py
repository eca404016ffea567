"""Scripts: cut into commands, variables filled in, what nobody set marked."""

from __future__ import annotations

import contextlib
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.importing.definition import as_written, unknowns
from launcher.importing.shell.expand import expand
from launcher.importing.shell.scan import statements
from launcher.importing.shell.script import Run, commands


def argvs(text: str, **variables: str) -> list[tuple[str, ...]]:
    return [run.argv for run in commands(text, variables)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b  c", [("a", "b", "c")]),
        ("a \\\n  b # c d\ne", [("a", "b"), ("e",)]),
        ("a && b || c; d & e | f", [("a",), ("b",), ("c",), ("d",), ("e",), ("f",)]),
        ("a 'b c' \"d e\" f\\ g h'i'\"j\"", [("a", "b c", "d e", "f g", "hij")]),
        ("a '' \"\"", [("a", "", "")]),
        ("nohup a b > log 2>&1 < /dev/null &", [("nohup", "a", "b")]),
        ("a >>log b 2>/dev/null", [("a", "b")]),
        ("cat <<EOF\nx 'y\nEOF\na", [("cat",), ("a",)]),
        ("X=1\na $X ${X} \"$X\" '$X' \\$X", [("a", "1", "1", "1", "$X", "$X")]),
        ("X='1 2'; a $X \"$X\"", [("a", "1", "2", "1 2")]),
        ('X=; a $X b "$X"', [("a", "b", "")]),
        ('a ${X:-b c} "${X:-b c}" ${X-d}', [("a", "b", "c", "b c", "d")]),
        (': "${X:=b}"; a $X', [(":", "b"), ("a", "b")]),
        ("X=1; a ${X:+--x $X} ${Y:+--y}", [("a", "--x", "1")]),
        ('A=(b "c d"\n # e\'s\n f); A+=(g); x "${A[@]}"', [("x", "b", "c d", "f", "g")]),
        ('A=(); x "${A[@]}" b', [("x", "b")]),
        ("A=(b 'c d'); x \"${A[@]}\" $A", [("x", "b", "c d", "b")]),
        ('A=(b); A+=(c); x "${A[@]}"', [("x", "b", "c")]),
        ('a "$@" $* b', [("a", "b")]),
        ("if [ -z $X ]; then a; else b; fi", [("[", "-z", "${X}", "]"), ("a",), ("b",)]),
        ("X=1 Y=$X a", [("a",)]),
        ("a --x='{\"b\": [1, 2]}'", [("a", '--x={"b": [1, 2]}')]),
    ],
)
def test_a_script_becomes_commands(text: str, expected: list[tuple[str, ...]]) -> None:
    found = [tuple(map(as_written, argv)) for argv in argvs(text)]
    assert found == expected


def test_what_nobody_set_is_marked() -> None:
    ((_, first, second, third),) = argvs("a $X ${Y}/b $(hostname -I | cut -d' ' -f1)")
    assert unknowns(first) == ["${X}"]
    assert unknowns(second) == ["${Y}"]
    assert as_written(second) == "${Y}/b"
    # A command's arguments may hold a secret.
    assert unknowns(third) == ["$(hostname ...)"]


def test_variables_of_the_command_and_of_the_script() -> None:
    runs = list(commands("export A=1\nB=2\nC=3 a $B $C\nexport B\nb", {}))
    assert runs[0].environment == {"A": "1", "C": "3"}
    # The shell fills in the words before it sets the command's own variables.
    assert runs[0].argv[1] == "2"
    assert unknowns(runs[0].argv[2]) == ["${C}"]
    assert runs[1].environment == {"A": "1", "B": "2"}


def test_the_folder_follows_cd() -> None:
    assert list(commands("cd /srv && cd x\na", {})) == [Run(("a",), {}, "/srv/x")]


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a ${b", "a $(b", "a=(b", "a `b"])
def test_what_has_no_end_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="has no end"):
        list(commands(text, {}))


@given(st.lists(st.text(min_size=1, max_size=12).filter(lambda text: "\0" not in text), max_size=6))
def test_quoted_words_come_back(words: list[str]) -> None:
    # Carriage returns end lines of files from other systems.
    words = [word.replace("\r", "") for word in words]
    ((_, *found),) = argvs("a " + shlex.join(words))
    assert found == words


@settings(max_examples=200)
@given(st.text("ab \"'$\\{}()=;&|#<>\n`X-:", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(word, str) for argv in argvs(text, X="1 2") for word in argv)


WORDS = st.lists(
    st.sampled_from(["$X", '"$X"', "'$X'", "${X}", '"${Y:-d e}"', "${Y:-d e}", "b", '"c  d"',
                     "\\$X", "$Z", '"$Z"', "a${X}b", '"a $X b"', "${X:+y}", "''"]),
    max_size=5,
)  # fmt: skip


SHOW_EACH = 'for one in "$@"\ndo printf \'[%s]\\n\' "$one"\ndone'


@settings(max_examples=40, deadline=None)
@given(WORDS)
def test_words_are_filled_in_as_a_shell_does(words: list[str]) -> None:
    script = f"X='1 2'\nZ=\nset -- {' '.join(words)}\n{SHOW_EACH}"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    found = [one for word in words for one in expand(word, {"X": "1 2", "Z": ""})]
    assert [f"[{one}]" for one in found] == done.stdout.splitlines()


def test_statements_keep_their_quotes() -> None:
    assert [one.words for one in statements("a 'b'; c")] == [("a", "'b'"), ("c",)]
