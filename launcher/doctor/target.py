"""What is to be served, as `doctor` holds the machine against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.config.presets import CUSTOM, PRESETS, get_preset
from launcher.config.server_config import ServerConfig
from launcher.config.sources import resolve
from launcher.memory.shapes.known_shapes import find_known_shape
from launcher.memory.weights import checkpoint_bytes
from launcher.models.folder import LARGEST_JSON_BYTES, ModelFolder, check_model_folder
from launcher.models.places import LARGEST_REF_BYTES, CachePlace
from launcher.models.store import hub_cache
from launcher.preflight.facts import ServingFacts
from launcher.system.foreign import parse_json, read_foreign
from launcher.system.hardware import Hardware


@dataclass(frozen=True)
class ServingTarget(ServingFacts):
    """What is to be served, why, and the machine as it is now.

    Attributes:
        reason: why it is this configuration.
        folder: where the model's files are, or would be; None where the cache has no snapshot.
        problem: why the model could not be looked for; empty where it could.
    """

    reason: str
    folder: Path | None
    problem: str = ""

    @property
    def model(self) -> ModelFolder | None:
        """The model's folder, checked; None where there is none.

        Raises:
            ModelNotFoundError, ModelIncompleteError: it is not whole.
        """
        return None if self.folder is None else check_model_folder(self.folder)

    @property
    def is_fp8(self) -> bool:
        """Whether the weights are FP8: by `config.json`, or by the model's name until it is here.

        Source: transformers' `quantization_config`: `quant_method` fp8, or of compressed-tensors
        the format `float-quantized`.
        """
        quantization = _read(self.folder).get("quantization_config")
        if isinstance(quantization, dict):
            words = f"{quantization.get('quant_method')} {quantization.get('format')}"
            return "fp8" in words or "float-quantized" in words
        return self.folder is None and "fp8" in self.config.model_path.lower()


def serving_target(
    asked: str | None, hardware: Hardware, environment: Mapping[str, str]
) -> ServingTarget:
    """What `up` would serve here.

    Args:
        asked: a preset's name, a model folder or a repository id; None: what `up` takes itself.
        hardware: this machine.
        environment: as `launcher.config.sources.resolve` takes it.

    Raises:
        UnknownPresetError: `asked` is a word that names neither a preset nor a folder here.
        ConfigError: the environment's fields make no sense.
    """
    named = asked in PRESETS and asked != CUSTOM.name
    if asked is not None and "/" not in asked and not Path(asked).exists():
        get_preset(asked)
    resolved = resolve(
        preset=asked if named else None,
        environment=environment,
        flags={} if asked is None or named else {"model_path": asked},
        probe=lambda: hardware,
    )
    config = resolved.config
    return ServingTarget(config, hardware, resolved.preset_reason, model_here(config))


def model_here(config: ServerConfig) -> Path | None:
    """The model's folder; of a repository the cache's snapshot, None where there is none.

    Source: huggingface_hub, "Understand caching": refs/BRANCH holds a commit, snapshots/COMMIT
    the files.
    """
    if not config.is_repository:
        return Path(config.model_path)
    repository = CachePlace(hub_cache(), config.model_path).root
    revision = config.revision or "main"
    try:
        ref = read_foreign(repository / "refs" / revision, most_bytes=LARGEST_REF_BYTES)
        commit = ref.decode("ascii").strip()
    except (OSError, UnicodeError):
        commit = revision
    snapshot = repository / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def missing_bytes(config: ServerConfig) -> int | None:
    """What is still to be downloaded of a repository, in bytes; None where that is not known."""
    known = find_known_shape(config.model_path)
    if known is None:
        return None
    # What an earlier download has brought, whole or in part, is not fetched again.
    blobs = CachePlace(hub_cache(), config.model_path).root.glob("blobs/*")
    return max(0, checkpoint_bytes(known[1]) - sum(blob.stat().st_size for blob in blobs))


def _read(folder: Path | None) -> dict[str, Any]:
    if folder is None:
        return {}
    try:
        file = folder / "config.json"
        content = parse_json(read_foreign(file, most_bytes=LARGEST_JSON_BYTES))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
