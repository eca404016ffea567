"""What is known before a start: a configuration, a machine, and what follows from the two."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from launcher.config.gpus import chosen_gpus, needs_known
from launcher.config.presets import PRESETS, Preset
from launcher.config.server_config import ServerConfig
from launcher.engines.engine import Engine
from launcher.engines.select import engine_of
from launcher.errors import (
    ModelNotFoundError,
    NoGpuError,
    UnknownShapeError,
    UnservedModelError,
)
from launcher.memory.plan import MemoryPlan
from launcher.models.store import LocalModel, find_in_cache
from launcher.nodes.network import NodeNetwork, find_network
from launcher.preflight.fit import FoundShape, find_shape_here, plan_config
from launcher.system.hardware import Gpu, Hardware


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The folders of the models that a configuration names by repository ids.

    The engine gets the folder of the commit, not id and revision: then it cannot ask the hub,
    cannot fetch anything else, and the draft model is pinned as well.
    """

    target: LocalModel | None = None
    draft: LocalModel | None = None

    @property
    def commit(self) -> str | None:
        """Of the target model, where it is named by a repository id."""
        return self.target.commit if self.target else None

    def put_into(self, config: ServerConfig) -> ServerConfig:
        """The configuration with folders for ids."""
        folders: dict[str, str | None] = {}
        if self.target is not None:
            folders |= {"model_path": str(self.target.folder), "revision": None}
        if self.draft is not None:
            folders |= {"speculative_draft_model_path": str(self.draft.folder)}
        return config.model_copy(update=folders)


def check_engine_runs(engine: Engine, config: ServerConfig, content: Mapping[str, Any]) -> None:
    """Refuse a model that the engine does not run on the device that is asked for.

    Args:
        engine: what it would be served by.
        config: what to serve.
        content: of the model's `config.json`.

    Raises:
        UnservedModelError: it does not.
    """
    reason = engine.refuse_model(config, content)
    if reason is not None:
        raise UnservedModelError(
            reason,
            action="Serve it on a GPU, or take another model."
            if config.device == "cpu"
            else "Take another checkpoint of the model.",
        )


@dataclass(frozen=True)
class ServingFacts:
    """A configuration on a machine.

    Each fact is found out once, when somebody first asks for it: a fact that nobody asks for costs
    nothing, and the checks refuse in their own order. None of them asks the network, except where
    `plan` needs the shape of a draft model that is not here.
    """

    config: ServerConfig
    hardware: Hardware

    @property
    def on_gpu(self) -> bool:
        """Whether GPUs are needed at all."""
        return self.config.device == "cuda"

    @property
    def preset(self) -> Preset | None:
        """The preset whose figures hold for this configuration, or None."""
        preset = PRESETS.get(self.config.preset)
        return preset if preset is not None and needs_known(self.config, preset) else None

    @cached_property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs to serve on; see `chosen_gpus`."""
        return chosen_gpus(self.config, self.hardware)

    @cached_property
    def network(self) -> NodeNetwork | None:
        """The way to the machines that it serves together with; None for one alone.

        Raises:
            InvalidValueError: see `find_network`.
        """
        return find_network(self.config) if self.config.nnodes > 1 else None

    @cached_property
    def engine(self) -> Engine:
        """What it is served by."""
        return engine_of(self.config)

    @cached_property
    def engine_version(self) -> str:
        """The engine's version that is installed.

        Raises:
            EngineMissingError: none is.
        """
        return self.engine.installed_version()

    @cached_property
    def target_here(self) -> LocalModel | None:
        """What is here of the repository that is served, whole or not; None where it is none."""
        if not self.config.is_repository:
            return None
        return find_in_cache(self.config.model_path, self.config.revision)

    @cached_property
    def models_here(self) -> ServedModels:
        """The repositories that are here and whole."""
        repository = self.config.draft_repository
        draft = find_in_cache(repository, None) if repository is not None else None
        whole = [
            model if model and model.missing is None else None
            for model in (self.target_here, draft)
        ]
        return ServedModels(*whole)

    @cached_property
    def shape(self) -> FoundShape | None:
        """The model's shape; None where it is not here or not known."""
        with contextlib.suppress(ModelNotFoundError, UnknownShapeError):
            return find_shape_here(self.config.model_path, lambda: self.target_here)
        return None

    @cached_property
    def plan(self) -> MemoryPlan | None:
        """The memory plan, or None where it cannot be planned from here.

        What cannot be planned may well be served: another architecture, or a model whose
        config.json is still on the hub.

        Raises:
            IndivisibleModelError: SGLang does not divide it among the ranks.
            UnservedModelError: SGLang does not run it on this device.
        """
        if self.shape is not None:
            with contextlib.suppress(NoGpuError, ModelNotFoundError, UnknownShapeError):
                return self.plan_with(self.shape)
        return None

    def plan_with(self, found: FoundShape) -> MemoryPlan:
        """The memory plan of a model, on the GPUs that `up` would take.

        Where `up` would refuse them for want of room, on the first ones.

        Raises:
            UnservedModelError: the engine does not run it on this device.
            IndivisibleModelError, NoGpuError, ModelNotFoundError, UnknownShapeError, HubError: see
                `plan_config`.
        """
        check_engine_runs(self.engine, self.config, found.config)
        gpus = self.gpus or self.hardware.gpus
        return plan_config(self.config, self.hardware, gpus, found=found)
