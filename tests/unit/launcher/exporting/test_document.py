"""Documents as text: whatever a value is, YAML reads back what was meant."""

from __future__ import annotations

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from launcher.exporting.document import CamelNode, Node, as_yaml

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40) | st.text(
    "yn~0e1.: -#{}[]&*!|>'\"%@`\\\n\t", max_size=16
)


class Inner(CamelNode):
    """With a key of two words."""

    two_words: str
    unset: str | None = None


class Outer(Node):
    """With all kinds of values."""

    text: str
    texts: list[str]
    inner: Inner
    mapping: dict[str, str]
    number: int = 288
    flag: bool = False


@given(TEXTS, TEXTS, TEXTS)
@example("yes", "1e3", "0o17")
@example("a\nb\n", "  a\n b ", "\n")
@example("\u2028", "\x85", "\ufeff")
def test_yaml_reads_back_what_was_written(one: str, two: str, key: str) -> None:
    made = Outer(text=one, texts=[two, one], inner=Inner(two_words=two), mapping={key: one})
    (read,) = yaml.safe_load_all(as_yaml(["Head"], [made]))
    assert read == made.as_data()
    assert read["inner"] == {"twoWords": two}


@given(st.lists(TEXTS, max_size=3))
def test_the_head_stays_a_comment(paragraphs: list[str]) -> None:
    text = as_yaml(paragraphs, [Inner(two_words="x")])
    head, _, rest = text.partition("twoWords")
    assert all(line.startswith("#") for line in head.split("\n") if line)
    assert yaml.safe_load(text) == {"twoWords": "x"}
    assert rest == ": x\n"


def test_what_is_copied_from_the_head_is_whole() -> None:
    word = f"--flag-of-many-words-{'a' * 120}"
    text = as_yaml([f"Made by `x {word} y`.", f"  {word} {word}"], [])
    assert f"\n# {word}\n" in text
    assert f"\n#   {word} {word}\n" in text


def test_documents_are_parted_and_written_without_anchors() -> None:
    same = Inner(two_words="x")
    text = as_yaml([], [same, Outer(text="", texts=[], inner=same, mapping={})])
    assert text.count("---\n") == 1
    assert "&" not in text
    first, second = yaml.safe_load_all(text)
    assert first == second["inner"]
