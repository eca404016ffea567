"""What the code knows stands in the documents as the code has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import docs

STALE = f"# Title\n\n{docs.BEGIN}\nold\n{docs.END}\n\nThe end.\n"


def test_every_generated_part_is_up_to_date() -> None:
    assert docs.main(["--check"]) == 0


def test_a_stale_document_is_named_and_only_its_generated_part_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "PROJECT", tmp_path)
    monkeypatch.setattr(docs, "DOCUMENTS", {"a.md": lambda: "new"})
    document = tmp_path / "a.md"
    document.write_text(STALE, encoding="utf-8")

    assert docs.main(["--check"]) == 1
    assert capsys.readouterr().out == "a.md: not up to date, run `make docs`\n"
    assert document.read_text(encoding="utf-8") == STALE

    assert docs.main([]) == 0
    assert document.read_text(encoding="utf-8") == STALE.replace("old", "\nnew\n")
    assert docs.main(["--check"]) == 0


@pytest.mark.parametrize("text", ["", docs.BEGIN, f"{docs.END}\n{docs.BEGIN}\n"])
def test_a_document_without_a_generated_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no lines"):
        docs.generate(text, "new")


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert docs.table(("a", "b"), [("`x | y`", "z")]).splitlines()[2] == r"| `x \| y` | z |"


def test_what_an_action_says_of_one_run_is_left_open_and_its_flags_are_code() -> None:
    row = next(line for line in docs.known_causes().split("\n") if "`context-too-long`" in line)

    assert "Lower `--context-length` from … to …, or leave it out." in row
