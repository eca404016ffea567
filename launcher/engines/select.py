"""Which engine serves a configuration. The only place where engines are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from launcher.config.arguments.foreign_launch import ForeignLaunch
from launcher.config.gateway_config import GatewayConfig
from launcher.config.server_config import ServerConfig
from launcher.engines.common.installing import Installable
from launcher.engines.engine import ContainerEngine, Engine, ModelEngine
from launcher.engines.sglang.engine import SGLANG
from launcher.engines.sglang.options.flags import load_flag_table
from launcher.engines.sglang.takeover import foreign_launch as sglang_launches
from launcher.engines.sglang.watching import metrics as sglang_metrics
from launcher.engines.smg.engine import SMG
from launcher.engines.vllm import installation as vllm_installation
from launcher.engines.vllm.causes.signs import is_output as is_vllms
from launcher.engines.vllm.engine import VllmEngine
from launcher.engines.vllm.takeover import foreign_launch as vllm_launches
from launcher.engines.vllm.watching import metrics as vllm_metrics
from launcher.errors import EngineMissingError, InvalidValueError, UnexportableError
from launcher.metrics.samples import Samples
from launcher.metrics.table import MetricTable


def engine_of(config: ServerConfig) -> Engine:
    """The engine of a configuration: what it names for a model, smg for a gateway."""
    return SMG if isinstance(config, GatewayConfig) else model_engine_of(config)


def model_engine_of(config: ServerConfig) -> ModelEngine:
    """The engine that serves a configuration's model."""
    if config.engine == "vllm":
        return VllmEngine(config.device, config.engine_python)
    return SGLANG


def container_engine_of(config: ServerConfig) -> ContainerEngine:
    """The same, where it is to run in containers.

    Raises:
        UnexportableError: it does not say of itself how.
    """
    if config.engine != "sglang":
        raise UnexportableError(
            f"Manifests are written for SGLang, and engine is {config.engine}.",
            action="Export it with `--engine sglang`, or start vLLM's own image by hand.",
        )
    return SGLANG


def engine_of_output(lines: Sequence[str]) -> Engine:
    """The engine that printed these lines: vLLM by its own form of them, else SGLang."""
    return VllmEngine() if is_vllms(lines) else SGLANG


def default_engine() -> ContainerEngine:
    """The engine that serves where nothing names one."""
    return SGLANG


# By the name of each engine, for servers of which nobody says what they run.
METRIC_TABLES: Final[Mapping[str, MetricTable]] = {
    "SGLang": sglang_metrics.METRICS,
    "vLLM": vllm_metrics.METRICS,
}


def metric_table_of(samples: Samples) -> tuple[str, MetricTable] | None:
    """The engine that reported some metrics, and what it calls them; None where it is none of ours.

    Args:
        samples: what a server answered.
    """
    for engine, table in METRIC_TABLES.items():
        names = {name for metric in table.metrics.values() for name in metric.names}
        if names & samples.keys():
            return engine, table
    return None


def engine_named(name: str) -> ModelEngine:
    """The engine whose options are meant before there is a configuration.

    Args:
        name: as in the field `engine`; another name is refused with the other fields, later.
    """
    return VllmEngine() if name == "vllm" else SGLANG


def installable_of(name: str, device: str) -> Installable:
    """What an environment of an engine is made of.

    Args:
        name: `vllm`, the only one that has such a thing.
        device: `cuda` or `cpu`.

    Raises:
        InvalidValueError: the engine runs beside the launcher.
    """
    if name != "vllm":
        raise InvalidValueError(
            f"The engine {name} has no environment of its own.",
            action="SGLang runs beside the launcher: `uv sync`, or `pip install '.[engine]'`.",
        )
    return vllm_installation.installable(device)


def version_of(engine: Engine) -> str:
    """The installed version of an engine; the verified one where none is installed."""
    try:
        return engine.installed_version()
    except EngineMissingError:
        return engine.verified_version


def read_launch(engine: str, arguments: Sequence[str]) -> ForeignLaunch:
    """What a command line of an engine says, in fields of a server of the default engine.

    Args:
        engine: `sglang` or `vllm`.
        arguments: behind what starts the server.

    Raises:
        EngineBrokenError: the installed version cannot be asked for its options.
    """
    if engine == "vllm":
        return vllm_launches.read_launch(list(arguments))
    return sglang_launches.read_launch(list(arguments), load_flag_table(version_of(SGLANG)))
