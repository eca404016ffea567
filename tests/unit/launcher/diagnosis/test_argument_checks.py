"""SGLang's own checks of its arguments: each `raise` and `assert` of the installed version, raised.

So the general rules meet hundreds of messages that nobody has written an entry for.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from launcher.diagnosis.foreign import UNKNOWN, diagnose_output
from launcher.engines.causes import Confidence
from launcher.engines.sglang.causes.advice import flag_table
from launcher.engines.sglang.engine import SGLANG

FILES: Final = ("server_args.py", "arg_groups")
RAISED: Final = frozenset({"ValueError", "RuntimeError", "NotImplementedError", "AssertionError"})


@dataclass(frozen=True)
class Check:
    """One check, with a message in which each value is a placeholder."""

    file: str
    line: int
    kind: str
    message: str
    code: str


def checks() -> tuple[Check, ...]:
    """All checks of arguments of the installed SGLang."""
    spec = importlib.util.find_spec("sglang")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent / "srt"
    files = [
        file
        for name in FILES
        for file in ([root / name] if name.endswith(".py") else sorted((root / name).glob("*.py")))
    ]
    return tuple(check for file in files for check in _checks_of(file, root))


def _checks_of(file: Path, root: Path) -> Iterator[Check]:
    source = file.read_text("utf-8")
    lines = source.splitlines()
    name = str(file.relative_to(root))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            kind = node.exc.func.id if isinstance(node.exc.func, ast.Name) else ""
            text = _text(node.exc.args[0]) if node.exc.args else ""
        elif isinstance(node, ast.Assert):
            kind, text = "AssertionError", _text(node.msg) if node.msg else ""
        else:
            continue
        if kind in RAISED and text is not None:
            yield Check(name, node.lineno, kind, text, lines[node.lineno - 1].strip())


def _text(node: ast.expr) -> str | None:
    """The message as it might be printed, or None where the source does not show it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None or right is None else left + right
    return None


CHECKS: Final = checks()


def traceback_of(check: Check) -> list[str]:
    folder = "/venv/lib/python3.12/site-packages/sglang"
    return [
        "Traceback (most recent call last):",
        f'  File "{folder}/launch_server.py", line 29, in run_server',
        "    server_args.resolve_once()",
        f'  File "{folder}/srt/{check.file}", line {check.line}, in check',
        f"    {check.code}",
        f"{check.kind}: {check.message}" if check.message else check.kind,
    ]


def test_there_are_hundreds() -> None:
    assert len(CHECKS) > 300


@pytest.mark.parametrize("file", sorted({check.file for check in CHECKS}))
def test_each_check_is_quoted_and_its_flags_are_named(file: str) -> None:
    names = flag_table().names
    for check in (one for one in CHECKS if one.file == file):
        found = diagnose_output(traceback_of(check), SGLANG, exit_code=1)

        assert found.cause != UNKNOWN, check
        assert found.retry is not None
        assert found.retry.value == "never", check
        answer = f"{found.problem} {found.action}"
        if found.cause == "arguments-refused":
            assert " ".join(check.message.split())[:100].rstrip(" .:") in found.problem, check
            assert found.confidence is Confidence.CERTAIN
            # Of those that the message spells out, the first ones stand in the advice.
            spelled = re.findall(r"(?<![\w-])--[a-z][\w-]*[a-z0-9]", check.message)
            for flag in [flag for flag in spelled if flag in names][:1]:
                assert flag in answer, check


def test_nearly_all_are_told_as_what_they_are() -> None:
    causes = [diagnose_output(traceback_of(check), SGLANG, exit_code=1).cause for check in CHECKS]
    # The others are better known: a GPU that is too old, a draft model that is missing.
    assert causes.count("arguments-refused") > 0.8 * len(causes)
