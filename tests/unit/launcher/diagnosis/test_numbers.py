"""Numbers of a log are anybody's: thousands of digits, zero, points where none belongs."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.diagnosis.foreign import diagnose_output
from launcher.engines.causes import LogCause
from launcher.engines.sglang.causes.table import CAUSES
from launcher.engines.sglang.engine import SGLANG
from launcher.engines.sglang.watching.phases import SGLangStartLog
from launcher.text import LARGEST_NUMBER, decimal_number, whole_number

ROOT: Final = Path(__file__).parents[4]
READERS: Final = (
    *sorted((ROOT / "launcher/engines/sglang/causes").rglob("*.py")),
    *sorted((ROOT / "launcher/diagnosis").glob("*.py")),
    ROOT / "launcher/engines/sglang/watching/phases.py",
)
KNOWN: Final[dict[str, LogCause]] = dict(CAUSES.errors) | dict(CAUSES.echoes)
DIGITS: Final = st.sampled_from(
    (
        "0",
        "1",
        "-1",
        "64",
        "9" * 19,
        "9" * 400,
        "9" * 1_500,
        "9" * 6_000,
        "1.2.3",
        "1e400",
        ".",
        "٣",
    )
)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")


@given(st.text(alphabet="-0123456789.e+naif ٣²", max_size=30))
def test_a_text_is_a_number_within_bounds(text: str) -> None:
    assert abs(whole_number(text)) <= LARGEST_NUMBER
    assert abs(decimal_number(text)) <= LARGEST_NUMBER


@given(st.integers(-LARGEST_NUMBER, LARGEST_NUMBER))
def test_a_whole_number_is_what_it_says(number: int) -> None:
    assert whole_number(str(number)) == number


@pytest.mark.parametrize("file", READERS, ids=lambda file: file.stem)
def test_whatever_reads_a_log_reads_numbers_in_the_one_way(file: Path) -> None:
    called = [
        f"{node.func.id} in line {node.lineno}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"int", "float", "eval"}
    ]
    assert [call for call in called if not (file.stem == "foreign" and "int in" in call)] == []


@pytest.mark.parametrize("name", sorted(KNOWN))
@settings(max_examples=4, deadline=None)
@given(st.data())
def test_no_number_in_a_line_that_is_known_ends_the_diagnosis(
    name: str, data: st.DataObject
) -> None:
    sample = KNOWN[name].sample
    drawn = _NUMBER.sub(lambda _: data.draw(DIGITS), sample)
    size = data.draw(DIGITS)
    lines = [
        f"[2026-11-29 11:32:32] server_args=ServerArgs(model_path='/m', tp_size={size}, port=1)",
        "Traceback (most recent call last):",
        '  File "/app/sglang/srt/managers/scheduler.py", line 5, in run',
        *drawn.splitlines(),
    ]
    found = diagnose_output(lines, SGLANG, exit_code=1)
    assert found.problem


@given(DIGITS, DIGITS)
def test_no_number_ends_whoever_follows_a_start(done: str, total: str) -> None:
    log = SGLangStartLog()
    log.feed(f"Loading safetensors checkpoint shards:  50% Completed | {done}/{total} [")
    log.feed(f"max_total_num_tokens={done}, context_len={total}")
    assert log.kv_cache_tokens is None or log.kv_cache_tokens <= LARGEST_NUMBER
