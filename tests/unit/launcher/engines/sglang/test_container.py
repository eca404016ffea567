"""SGLang as an orchestrator runs it: what its own sources say of the routes and variables."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from launcher.config.sources import resolve
from launcher.engines.containers import MachineGroup
from launcher.engines.select import default_engine, read_launch
from launcher.engines.sglang.container import CONTAINER_VARIABLES, PROBES, is_keys_file

CONFIG = resolve(preset="glm-4.5-air-fp8").config


def source(path: str) -> str:
    """A file of the installed SGLang, as text: importing it takes ten seconds."""
    spec = importlib.util.find_spec("sglang")
    assert spec is not None
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / path).read_text(encoding="utf-8")


def test_the_installed_version_has_the_routes_and_asks_no_key_for_them() -> None:
    server, auth = source("srt/entrypoints/http_server.py"), source("srt/utils/auth.py")
    for path in {PROBES.generates, PROBES.answers, PROBES.joined}:
        assert f'@app.get("{path}")' in server
        assert path.startswith("/health")
    assert 'path.startswith("/health")' in auth
    assert f'"SGLANG_HEALTH_CHECK_TIMEOUT", {PROBES.answer_seconds})' in server


@pytest.mark.parametrize("variable", sorted(CONTAINER_VARIABLES))
def test_the_installed_version_reads_the_variables(variable: str) -> None:
    assert default_engine().why_unread(variable) is None


def test_the_variable_makes_one_of_the_two_routes_cheap() -> None:
    """By it alone `/health` answers without a token; liveness rests on that."""
    (name,) = [one for one in CONTAINER_VARIABLES if "GENERATION" in one]
    body = source("srt/entrypoints/http_server.py").partition("async def health_generate")[2]
    condition = body.partition(name)[2][:120]
    assert "not" not in condition.split("(")[0]
    assert f'request.url.path == "{PROBES.answers}"' in condition
    launch = default_engine().container_launch(CONFIG, keys_file=None)
    assert launch.environment[name] == "false"


def test_the_command_is_the_one_of_a_start_on_every_address() -> None:
    launch = default_engine().container_launch(CONFIG, keys_file="/run/k/specserve-keys.yaml")
    assert launch.program == ("python3", "-m", "sglang.launch_server")
    assert launch.arguments[:2] == ("--config", "/run/k/specserve-keys.yaml")
    assert launch.arguments[launch.arguments.index("--host") + 1] == "0.0.0.0"  # noqa: S104
    # Variables of the launcher's plugins and of its supervisor mean nothing there.
    assert set(launch.environment) <= CONTAINER_VARIABLES


def test_a_group_only_adds_to_it() -> None:
    group = MachineGroup(2, "$(RANK)", "leader:1", 600)
    alone = default_engine().container_launch(CONFIG, keys_file=None)
    together = default_engine().container_launch(CONFIG, keys_file=None, group=group)
    added = together.arguments[len(alone.arguments) :]
    assert together.arguments == (*alone.arguments, *added)
    assert added == (
        *("--nnodes", "2", "--node-rank", "$(RANK)"),
        *("--dist-init-addr", "leader:1", "--dist-timeout", "600"),
    )


@pytest.mark.parametrize(
    ("arguments", "offline"),
    [
        ((), True),
        (("--tokenizer-path", "org/Tokenizer"), False),
        (("--tokenizer-path=a/b",), False),
    ],
)
def test_it_is_offline_where_it_needs_no_third_repository(
    arguments: tuple[str, ...], *, offline: bool
) -> None:
    config = CONFIG.model_copy(update={"extra_args": arguments})
    assert default_engine().container_launch(config, keys_file=None).is_offline is offline


def test_the_revision_of_a_draft_is_an_argument() -> None:
    engine = default_engine()
    assert engine.draft_revision(CONFIG) is None
    named = engine.with_draft_revision(CONFIG, "abc")
    assert engine.draft_revision(named) == "abc"
    launch = engine.container_launch(named, keys_file=None)
    assert launch.arguments[-2:] == ("--speculative-draft-model-revision", "abc")


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/run/secrets/specserve-keys.yaml", True),
        ("~/specserve-keys.yaml", True),
        ("/etc/sglang.yaml", False),
        ("/etc/specserve-keys.yaml.bak", False),
    ],
)
def test_only_a_file_of_keys_is_passed_over(path: str, *, keys: bool) -> None:
    assert is_keys_file(path) is keys
    launch = read_launch("sglang", ["--model-path", "a/b", "--config", path])
    assert (launch.refused == "") is keys
    assert any("api_key_file" in one for one in launch.dropped) is keys
