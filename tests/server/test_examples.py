"""The Python of the documents, run against the real server as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.project import PROJECT

if TYPE_CHECKING:
    from launcher.state.record import RunRecord

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str]]:
    """Each Python block that talks to a server, with a name."""
    return [
        (f"{name}-{number}", block)
        for name in ("README.md", "docs/clients.md")
        for number, block in enumerate(
            _BLOCK.findall((PROJECT / name).read_text(encoding="utf-8")), 1
        )
        if "ChatClient" in block
    ]


def test_there_are_examples() -> None:
    assert len(examples()) >= 5


@pytest.mark.parametrize(("name", "code"), examples(), ids=[name for name, _ in examples()])
def test_an_example_runs_as_it_stands(
    eagle: RunRecord, monkeypatch: pytest.MonkeyPatch, name: str, code: str
) -> None:
    monkeypatch.setenv("SPECSERVE_BASE_URL", eagle.base_url)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{name}: {done.stderr}"
    assert done.stdout.strip()
