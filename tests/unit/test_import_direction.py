"""Who may import whom, read from the sources."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
ENGINE = {"torch", "sglang", "sgl_kernel", "transformers", "flashinfer", "triton"}
# These run in processes of their own, or by hand.
MAY_IMPORT_THE_ENGINE = (
    "launcher.cpu",
    "launcher.dump_flags",
    "launcher.redaction",
    "launcher.hooks",
)


def modules_of(package: str) -> dict[str, Path]:
    """Dotted names of a package's modules, and their files."""
    names = {}
    for file in sorted((PROJECT / package).rglob("*.py")):
        parts = file.relative_to(PROJECT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


LAUNCHER = modules_of("launcher")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    }


def imported(module: str, file: Path, *, at_run_time_only: bool, nested: bool) -> Iterator[str]:
    """What a module imports, as dotted names; `from a import b` is `a` and `a.b`.

    `nested` takes imports inside functions too.
    """
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if at_run_time_only and is_type_checking(node):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not nested:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)


def roots(package: str) -> dict[str, set[str]]:
    """Each module of a package, and the packages that it imports anywhere."""
    return {
        module: {
            name.partition(".")[0]
            for name in imported(module, file, at_run_time_only=False, nested=True)
        }
        for module, file in modules_of(package).items()
    }


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("clients", {"launcher", "benchmarks", "tests", "tools"}),
        ("launcher", {"clients", "benchmarks", "tests", "tools"}),
        ("benchmarks", {"tests", "tools"}),
    ],
)
def test_a_package_imports_only_what_stands_below_it(package: str, others: set[str]) -> None:
    found = roots(package)

    assert package in found
    assert {module: names & others for module, names in found.items() if names & others} == {}


def test_the_launcher_itself_never_imports_the_engine() -> None:
    offenders = {
        module: names & ENGINE
        for module, names in roots("launcher").items()
        if names & ENGINE and not module.startswith(MAY_IMPORT_THE_ENGINE)
    }

    assert offenders == {}
    # The check can see such an import.
    assert "sglang" in roots("launcher")["launcher.dump_flags"]


def test_the_launcher_reaches_the_engine_s_modules_by_settings_alone() -> None:
    reached = {
        name
        for module, file in LAUNCHER.items()
        if not module.startswith(MAY_IMPORT_THE_ENGINE)
        for name in imported(module, file, at_run_time_only=False, nested=True)
        if name in LAUNCHER and name.startswith(MAY_IMPORT_THE_ENGINE)
    }

    assert reached <= {"launcher.cpu", "launcher.cpu.settings"}


def test_no_two_modules_import_each_other() -> None:
    graph = {
        module: {
            name
            for name in imported(module, file, at_run_time_only=True, nested=False)
            # A package's own `__init__` runs before any of its modules, and is no cycle.
            if name in LAUNCHER and name != module and not module.startswith(f"{name}.")
        }
        for module, file in LAUNCHER.items()
    }
    assert "launcher.errors" in graph["launcher.config_sources"]
    # Take away what imports nothing that is left, until nothing is left.
    while free := [module for module, names in graph.items() if not names & graph.keys()]:
        for module in free:
            del graph[module]

    assert graph == {}


def drawn_levels(package: str) -> dict[str, int]:
    """Level of each module in the drawing of a package's `__init__.py`, the lowest first."""
    drawing = (PROJECT / package / "__init__.py").read_text()
    lines = re.findall(
        r"^    (?:  -> )?([a-z_]+(?:, [a-z_]+)*)(?: {2,}.*)?$", drawing, re.MULTILINE
    )
    return {
        f"{package}.{name}": level
        for level, names in enumerate(lines)
        for name in names.split(", ")
    }


def test_imports_go_the_way_that_the_drawing_says() -> None:
    levels = drawn_levels("launcher")
    modules = {name for name in LAUNCHER if name.count(".") == 1}
    beside_the_flow = {
        *("launcher.__main__", "launcher.cpu", "launcher.nano"),
        *("launcher.dump_flags", "launcher.redaction", "launcher.hooks"),
    }
    assert set(levels) == modules - beside_the_flow

    backwards = {
        (module, name)
        for module, level in levels.items()
        for name in imported(module, LAUNCHER[module], at_run_time_only=True, nested=False)
        if levels.get(name, -1) > level
    }
    assert backwards == set()


def test_a_benchmark_imports_only_what_is_drawn_above_it() -> None:
    levels = drawn_levels("benchmarks")
    modules = modules_of("benchmarks")
    assert levels.keys() <= modules.keys()
    assert levels["benchmarks.records"] < levels["benchmarks.load"] < levels["benchmarks.running"]

    def drawn(name: str) -> str:
        return ".".join(name.split(".")[:2])

    found = {
        (module, name)
        for module, file in modules.items()
        if drawn(module) in levels
        for name in imported(module, file, at_run_time_only=False, nested=True)
        # What is not drawn stands beside it, and is imported by nothing.
        if name in modules and name not in {"benchmarks", drawn(module)}
        if drawn(name) != drawn(module)
        if levels.get(drawn(name), len(levels)) >= levels[drawn(module)]
    }
    assert found == set()


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("launcher.states", set[str]()),
        ("launcher.names", set[str]()),
        ("launcher.errors", set[str]()),
        ("launcher.text", set[str]()),
        ("launcher.events", {"launcher.states"}),
    ],
)
def test_the_lowest_modules_import_nothing_else_of_ours(module: str, allowed: set[str]) -> None:
    names = imported(module, LAUNCHER[module], at_run_time_only=False, nested=True)

    assert {name for name in names if name in LAUNCHER} == allowed


STATUS = """
import atexit, json, runpy, sys
atexit.register(lambda: sys.stderr.write(json.dumps(sorted(sys.modules))))
sys.argv = ["launcher", "status", "--json"]
runpy.run_module("launcher", run_name="__main__", alter_sys=True)
"""


def test_status_imports_no_engine_and_writes_nothing(tmp_path: Path) -> None:
    folders = {
        variable: str(tmp_path / variable)
        for variable in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    }

    done = subprocess.run(
        [sys.executable, "-B", "-c", STATUS],
        cwd=PROJECT,
        env={**os.environ, **folders},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"servers": [], "errors": []}
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert "launcher" in loaded
    # Nor anything else that takes a noticeable time and that it does not need.
    assert loaded & (ENGINE | {"numpy", "httpx", "openai", "huggingface_hub", "yaml"}) == set()
    assert list(tmp_path.iterdir()) == []
