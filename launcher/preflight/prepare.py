"""Everything that can be known before a process is started, cheapest first. Starts nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from launcher.config.gateway_config import GatewayConfig
from launcher.config.keys import read_kept_admin_key, read_keys
from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Command, Launch, history_key
from launcher.models.download.hub import Hub
from launcher.models.download.pull import ensure_model
from launcher.models.download.request import OnPullEvent, PullRequest, ignore
from launcher.models.store import LocalModel, find_in_cache
from launcher.preflight import checks
from launcher.preflight.command import check_engine, make_command
from launcher.preflight.facts import ServedModels, ServingFacts
from launcher.preflight.nodes import check_nodes, node_facts
from launcher.state.record import RunRecord
from launcher.system.hardware import Gpu, Hardware, read_cpu_model

# About a twentieth of it is what such a process takes.
STAND_BY_MEMORY_BYTES: Final = 24 * 1024**3


def plan_command(config: ServerConfig, hardware: Hardware, *, secrets_file: Path) -> Command:
    """The command for a configuration, compared with the engine's command line; needs no engine.

    A repository id stands for its folder where that is here, and for itself where it is not.

    Args:
        config: what to serve.
        hardware: on what.
        secrets_file: where the keys will be.

    Raises:
        UnknownFlagError, SecretInArgumentsError, ConfigError, EngineBrokenError: see
            `make_command`.
    """
    facts = ServingFacts(config, hardware)
    return make_command(facts, facts.models_here, secrets_file)


def check_start(config: ServerConfig, hardware: Hardware, *, secrets_file: Path) -> None:
    """All that `prepare` finds out before a download; starts and downloads nothing.

    Raises:
        LauncherError: see `prepare`.
    """
    facts = ServingFacts(config, hardware)
    if isinstance(config, GatewayConfig):
        facts.engine.installed_version()
        checks.check_gateway_ports(config)
        make_command(facts, ServedModels(), secrets_file)
    else:
        check_engine(facts)
        make_command(facts, facts.models_here, secrets_file)
        checks.check_machine(facts)
        checks.check_model_here(facts)
    read_keys(config, os.environ)


def prepare(
    config: ServerConfig,
    hardware: Hardware,
    *,
    secrets_file: Path,
    detached: bool,
    report: OnPullEvent = ignore,
    commit: str | None = None,
) -> Launch:
    """Check the machine and the configuration against each other; download the model at last.

    Args:
        config: what to serve.
        hardware: on what.
        secrets_file: where the keys will be.
        detached: whether it shall outlive its terminal.
        report: told of each event of a download.
        commit: serve this one of the repository, as a former run did; None: what the
            configuration says.

    Raises:
        UnsupportedSystemError, EngineMissingError, SpeculationError, NoGpuError,
        ModelNotFoundError, ModelIncompleteError, IndivisibleModelError, UnservedModelError,
        InsufficientMemoryError, PortInUseError, ResourceLimitError,
        InvalidValueError, what `plan_command` raises, and what a download does.
    """
    if isinstance(config, GatewayConfig):
        return prepare_gateway(config, hardware, secrets_file=secrets_file, detached=detached)
    facts = ServingFacts(config, hardware)
    version = check_engine(facts)
    keys = read_keys(config, os.environ)
    # Twice: a wrong argument is found before anything is downloaded.
    make_command(facts, facts.models_here, secrets_file)
    check_nodes(facts)
    checks.check_machine(facts)
    checks.check_model_here(facts)
    models = fetch_models(config, report, commit)
    planned = checks.check_fetched(facts, models)
    command = make_command(facts, models, secrets_file)
    history = _history_key(facts, version)
    return Launch(
        config,
        command,
        keys,
        facts.engine.versions(),
        detached,
        history,
        models.commit,
        planned,
        stands_by(config, hardware),
        node_facts(facts, models, command),
    )


def prepare_gateway(
    config: GatewayConfig, hardware: Hardware, *, secrets_file: Path, detached: bool
) -> Launch:
    """Check what a gateway needs: itself, its keys, two ports.

    Args:
        config: of the gateway.
        hardware: of this machine.
        secrets_file: where the keys will be.
        detached: whether it shall outlive its terminal.

    Raises:
        EngineMissingError: it is not installed.
        InvalidValueError: see `read_keys`.
        PortInUseError: somebody listens there.
        ConfigError: its arguments repeat what the launcher sets.
    """
    facts = ServingFacts(config, hardware)
    facts.engine.installed_version()
    keys = read_keys(config, os.environ)
    checks.check_gateway_ports(config)
    command = make_command(facts, ServedModels(), secrets_file)
    return Launch(config, command, keys, facts.engine.versions(), detached)


def prepare_adoption(
    record: RunRecord, hardware: Hardware, *, secrets_file: Path, detached: bool
) -> Launch:
    """What a supervisor needs to take over a server that runs, and to start it again some day.

    The command that it would be started by is made anew from its configuration: what stands in the
    record is for people to read, and is never run.

    Args:
        record: of the server.
        hardware: on which it runs.
        secrets_file: where the keys will be.
        detached: whether the new supervisor shall outlive its terminal.

    Raises:
        StateError: another version of this project wrote the record.
        InvalidValueError: the key file is no longer what it was.
        UnknownFlagError, SecretInArgumentsError, ConfigError, EngineBrokenError: see
            `make_command`.
    """
    config = record.read_config()
    facts = ServingFacts(config, hardware)
    engine = facts.engine
    version = record.versions.get(engine.distribution, engine.verified_version)
    keys = read_keys(config, os.environ)
    # It has the key that was made at its start.
    if (kept := read_kept_admin_key(record.admin_key_file)) is not None:
        keys["admin-api-key"] = kept
    models = _models_of(record, facts)
    command = make_command(facts, models, secrets_file, _gpus_of(record, hardware))
    return Launch(
        config,
        command,
        keys,
        record.versions,
        detached,
        history_key=_history_key(facts, version),
        model_commit=record.model_commit,
        stand_by=stands_by(config, hardware),
        nodes=node_facts(facts, models, command),
    )


def stands_by(config: ServerConfig, hardware: Hardware) -> bool:
    """Whether a process waits for the next run: docs/start.md says what it costs.

    None where several machines serve together: the slowest of them decides when they start.
    """
    if config.nnodes > 1:
        return False
    if config.stand_by is not None:
        return config.stand_by
    roomy = hardware.available_memory_bytes >= STAND_BY_MEMORY_BYTES
    return config.shares_imports and roomy and config.restart != "never"


def _models_of(record: RunRecord, facts: ServingFacts) -> ServedModels:
    """The models that it serves, as far as they are here."""
    models = facts.models_here
    if record.model_commit is None or not facts.config.is_repository:
        return models
    served = find_in_cache(facts.config.model_path, record.model_commit)
    return ServedModels(served or models.target, models.draft)


def _gpus_of(record: RunRecord, hardware: Hardware) -> tuple[Gpu, ...]:
    """Those of this machine that it was started on: it holds them, so none would be chosen now."""
    named = record.environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return tuple(gpu for gpu in hardware.gpus if gpu.uuid in named)


def _history_key(facts: ServingFacts, engine_version: str) -> str:
    return history_key(
        facts.config,
        gpu_names=[gpu.name for gpu in facts.hardware.gpus],
        cpu_model=read_cpu_model(),
        cpus=len(facts.hardware.cpus),
        engine_version=engine_version,
    )


def fetch_models(
    config: ServerConfig, report: OnPullEvent, commit: str | None = None
) -> ServedModels:
    """Download what is missing of the repositories that a configuration names.

    Args:
        config: what to serve.
        report: told of each event.
        commit: of the model; None: what the configuration says.

    Raises:
        HubError: see `ensure_model`.
    """

    def fetch(repository: str, revision: str | None) -> LocalModel:
        request = PullRequest(repository, revision)
        return ensure_model(request, Hub(), report, by_hash=config.verify_model)

    target = draft = None
    if config.is_repository:
        target = fetch(config.model_path, commit or config.revision)
    if (repository := config.draft_repository) is not None:
        draft = fetch(repository, None)
    return ServedModels(target, draft)
