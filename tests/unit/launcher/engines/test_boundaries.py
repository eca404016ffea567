"""No module outside `launcher/engines` knows a flag, a route or a log line of an engine.

What an engine prints, takes and answers is known in its own folder alone, so that another engine is
a folder more and no search through the launcher. What is left elsewhere stands here, each with its
reason, and the test fails where one of them has gone: the list only shrinks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from launcher.cli.main import cli
from launcher.engines.sglang.options.flags import load_flag_table as sglang_flags
from launcher.engines.sglang.version import VERIFIED_VERSION as SGLANG_VERSION
from launcher.engines.sglang.watching.phases import FIRED_UP
from launcher.engines.vllm.options.flags import load_flag_table as vllm_flags
from launcher.engines.vllm.version import VERIFIED_VERSION as VLLM_VERSION
from tests.project import PROJECT

LAUNCHER = PROJECT / "launcher"
# Those of the OpenAI API are no engine's own, and `/metrics` is Prometheus'.
ROUTES = re.compile(
    r"^/(?:generate|health|health_generate|server_info|abort_request|freeze_gc|ready|ping"
    r"|get_model_info|get_server_info|invocations|tokenize|liveness|readiness|workers|load)\b"
)
LOG_LINES = re.compile(
    r"sglang::|VLLM::|Decode batch|Load weight|server_args=|non-default args|Avg generation"
    rf"|{re.escape(FIRED_UP)}|EngineCore|Application startup|KV cache size: "
)
VARIABLES = re.compile(r"\b(?:SGLANG|SGL|VLLM)_[A-Z_]*")
FLAG = re.compile(r"--[a-z][\w-]*")

ALLOWED: dict[str, tuple[frozenset[str], str]] = {
    "config/ranks.py": (
        frozenset(
            {
                *("--attention-data-parallel-size", "--attn-dp-size", "--base-gpu-id"),
                *("--data-parallel-size", "--ep", "--expert-parallel-size", "--gpu-id-step"),
                *("--moe-a2a-backend", "--pipeline-parallel-size"),
            }
        ),
        "Which GPU a rank is on. The configuration needs it, and stands below the engines.",
    ),
    "exporting/refusals.py": (
        frozenset({"--base-gpu-id", "--gpu-id-step"}),
        "They name what `config/ranks.py` counts.",
    ),
    "nodes/facts.py": (
        frozenset({"--base-gpu-id", "--gpu-id-step", "--dist-timeout"}),
        "Of several machines it compares all options but those in which they have to differ.",
    ),
    "preflight/checks.py": (frozenset({"--gpu-id-step"}), "The same."),
    "exporting/compose.py": (frozenset({"--api-key"}), "An argument of the gateway smg."),
    "exporting/kubernetes/gateway.py": (frozenset({"--api-key"}), "The same."),
    "exporting/gateway.py": (
        frozenset({"/liveness", "/readiness"}),
        "The gateway says nothing of containers itself: what does so is for models alone.",
    ),
    "exporting/skypilot.py": (frozenset({"--seed"}), "`uv venv` has it, and vLLM, too."),
    "config/fields/variables.py": (
        frozenset(
            {
                *("SGLANG_", "SGL_", "SGLANG_PLUGINS", "SGLANG_USE_CPU_ENGINE"),
                "SGLANG_CPU_OMP_THREADS_BIND",
            }
        ),
        (
            "Variables that no configuration may set, since the launcher does; another test holds "
            "them against what it sets."
        ),
    ),
    "cli/service/command.py": (
        frozenset({"SGLANG_"}),
        "A unit names the engine's variables that it leaves out.",
    ),
    "diagnosis/suspects.py": (
        frozenset({"SGLANG_", "SGL_", "VLLM_"}),
        "Which variables of a foreign launch may be to blame, whatever the engine.",
    ),
    "importing/variables.py": (
        frozenset({"SGLANG_", "SGL_", "VLLM_", "SGLANG_USE_MODELSCOPE", "VLLM_USE_MODELSCOPE"}),
        "Launches of strangers are recognised by them.",
    ),
    "doctor/gpu.py": (
        frozenset({"SGLANG_MOE_CONFIG_DIR"}),
        "Where a probe finds tuned kernels: of SGLang's packages, as the group of probes is.",
    ),
}


def modules() -> Iterator[Path]:
    for file in sorted(LAUNCHER.rglob("*.py")):
        if file.relative_to(LAUNCHER).parts[0] != "engines":
            yield file


@cache
def engine_flags() -> frozenset[str]:
    """Flags of any engine that are no option of the launcher's own."""
    tables = (sglang_flags(SGLANG_VERSION), vllm_flags(VLLM_VERSION, Path("/nowhere")))
    names = {name for table in tables for name in table.names if name.startswith("--")}
    return frozenset(names - set(own_options(cli)))


def own_options(command: click.Command) -> Iterator[str]:
    for one in command.params:
        yield from (*one.opts, *one.secondary_opts)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from own_options(found)


def texts(tree: ast.Module) -> Iterator[str]:
    """All texts of a module but its documentation."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.value if isinstance(node.value, str) else ""


def knowledge(text: str) -> set[str]:
    """What a text knows of an engine."""
    found = {flag for flag in FLAG.findall(text) if flag in engine_flags()}
    found |= {text} if ROUTES.match(text) else set()
    return found | set(LOG_LINES.findall(text)) | set(VARIABLES.findall(text))


def test_only_what_is_allowed_is_known_outside_of_the_engines() -> None:
    known = {
        str(file.relative_to(LAUNCHER)): frozenset(
            word for text in texts(ast.parse(file.read_text("utf-8"))) for word in knowledge(text)
        )
        for file in modules()
    }

    assert {name: words for name, words in known.items() if words} == {
        name: words for name, (words, _) in ALLOWED.items()
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("use `-- --disable-radix-cache`", {"--disable-radix-cache"}),
        ("--max-num-seqs", {"--max-num-seqs"}),
        ("/health_generate", {"/health_generate"}),
        ("a process VLLM::EngineCore", {"VLLM::", "EngineCore"}),
        ("SGLANG_TOOL_STRICT_LEVEL", {"SGLANG_TOOL_STRICT_LEVEL"}),
        ("--tp-size and --port", set()),
        ("/v1/chat/completions", set()),
    ],
)
def test_knowledge_of_an_engine_is_seen(text: str, found: set[str]) -> None:
    assert knowledge(text) == found


def test_each_exception_has_a_reason() -> None:
    assert all(reason.endswith(".") for _, reason in ALLOWED.values())
    assert {LAUNCHER / name for name in ALLOWED} <= set(modules())
