"""What the package exports, and what importing it costs."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import clients
from clients import errors


def test_exports_are_sorted_and_exist() -> None:
    assert clients.__all__ == sorted(clients.__all__)
    assert all(hasattr(clients, name) for name in clients.__all__)


def test_every_public_name_is_exported() -> None:
    # Submodules become attributes of the package once they are imported.
    names = {name for name, value in vars(clients).items() if not isinstance(value, ModuleType)}
    assert {name for name in names if not name.startswith("_")} == set(clients.__all__)


def test_every_error_is_exported_and_stands_in_the_drawing() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    classes = {name for name in classes if name.endswith("Error")}
    assert classes <= set(clients.__all__)
    assert errors.__doc__ is not None
    exported = {name for name in clients.__all__ if name.endswith("Error")}
    assert set(re.findall(r"\w+Error", errors.__doc__)) == exported


def test_the_drawing_shows_the_real_tree() -> None:
    assert errors.__doc__ is not None
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        drawn = re.match(r"(?P<branch>[│├└─ ]*)(?P<name>\w+Error)\b", line)
        if drawn is None:
            continue
        depth = len(drawn["branch"]) // 4
        above[depth:] = [drawn["name"]]
        if depth:
            child, parent = (getattr(clients, name) for name in (drawn["name"], above[depth - 1]))
            assert child.__bases__[0] is parent, line


def test_modules_can_be_read_in_one_sitting() -> None:
    assert clients.__file__ is not None
    folder = Path(clients.__file__).parent
    assert (folder / "py.typed").exists()
    for module in folder.rglob("*.py"):
        assert len(module.read_text(encoding="utf-8").splitlines()) < 340, module
        importlib.import_module(".".join(module.relative_to(folder.parent).with_suffix("").parts))


def test_import_brings_only_the_sdk() -> None:
    program = (
        "import sys, openai, httpx; before = set(sys.modules); import clients;"
        "print(*sorted({n.split('.')[0] for n in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["clients"]
