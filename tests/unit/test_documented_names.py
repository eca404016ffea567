"""The documents name nothing that does not exist."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from tests.project import PROJECT

PACKAGES = ("launcher", "clients", "benchmarks")
CODE = re.compile(r"`([^`\n]+)`")
# `launcher.state.store.RunStore`, with or without a call's parentheses.
DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+(?!\w|/)")
# `launcher/engines/sglang/plugins/cpu/settings.py`, `launcher/nano/`,
# `docs/decisions/0001-engine-pin.md`.
PATH = re.compile(
    rf"(?<![\w./-])(?:{'|'.join([*PACKAGES, 'tests', 'docs', 'tools'])})(?:/[\w.*-]+)*/?"
)


def documents() -> list[Path]:
    named = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    below = sorted(
        file
        for folder in ("docs", *PACKAGES)
        for file in (PROJECT / folder).rglob("*.md")
        if file.is_file()
    )
    return [file for file in named if file.is_file()] + below


def quoted(text: str) -> list[str]:
    """What stands in backticks, outside of blocks of code."""
    prose = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return CODE.findall(prose)


def is_module(dotted: str) -> bool:
    try:
        return importlib.util.find_spec(dotted) is not None
    except ModuleNotFoundError:
        return False


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or something in one, down to fields of classes."""
    parts = dotted.split(".")
    lengths = range(len(parts), 0, -1)
    length = next(length for length in lengths if is_module(".".join(parts[:length])))
    if length == len(parts):
        return True  # not imported: some modules take long
    found: object = importlib.import_module(".".join(parts[:length]))
    for name in parts[length:]:
        fields = getattr(found, "model_fields", {}) | getattr(found, "__annotations__", {})
        if not hasattr(found, name) and name not in fields:
            return False
        found = getattr(found, name, None)
    return True


def unknown_names(text: str) -> list[str]:
    return [
        name
        for code in quoted(text)
        for name in DOTTED.findall(code)
        # A file's name looks like a dotted name.
        if not name.endswith((".py", ".md")) and not exists(name)
    ]


def unknown_paths(text: str) -> list[str]:
    return [
        path
        for code in quoted(text)
        for path in PATH.findall(code)
        if "/" in path and "*" not in path and not (PROJECT / path).exists()
    ]


@pytest.mark.parametrize("document", documents(), ids=lambda file: str(file.relative_to(PROJECT)))
def test_every_name_in_a_document_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    assert unknown_names(text) == []
    assert unknown_paths(text) == []


def test_a_name_that_does_not_exist_is_found() -> None:
    text = (
        "`launcher.errors.NoSuchError`, `launcher.nowhere`, "
        "`launcher.config.server_config.ServerConfig.prot`,\n"
        "`launcher.errors.PortInUseError`, `launcher.config.server_config.ServerConfig.port`,\n"
        "`clients.ChatClient.chat()`, `python -m launcher.engines.sglang.options.dump_flags`, "
        "`sglang.launcher.x`\n"
        "`launcher/nowhere.py`, `launcher/errors.py`, `launcher/`, `docs/*.md`\n"
        "```\n`launcher.in_a_block`\n```\n"
    )

    assert unknown_names(text) == [
        "launcher.errors.NoSuchError",
        "launcher.nowhere",
        "launcher.config.server_config.ServerConfig.prot",
    ]
    assert unknown_paths(text) == ["launcher/nowhere.py"]
