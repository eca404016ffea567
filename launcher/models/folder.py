"""Whether a model folder holds what serving needs. Reads headers only, never weights."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from launcher.errors import ModelIncompleteError, ModelNotFoundError
from launcher.system.foreign import parse_json, read_foreign
from launcher.text import human_bytes

INDEX_NAME: Final = "model.safetensors.index.json"
# The largest index that is known has 9 MB; see also `launcher.models.download.hub`.
LARGEST_JSON_BYTES: Final = 64 * 1024**2
_LENGTH_BYTES: Final = 8
_LARGEST_HEADER_BYTES: Final = 100_000_000  # the format's own limit


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that was checked."""

    path: Path
    config: dict[str, Any]
    weights_bytes: int


def check_model_folder(path: Path) -> ModelFolder:
    """Check config, tokenizer and every weight file of a local model.

    A weight file is complete when its size is what its own header adds up to.

    Raises:
        ModelNotFoundError: no folder, or no `config.json` in it.
        ModelIncompleteError: a file is missing, cut short, or not in the safetensors format.
    """
    if not path.is_dir():
        raise ModelNotFoundError(
            f"The model folder {path} does not exist.",
            action="Check --model-path; a repository id has the form OWNER/NAME.",
        )
    config = _read_json(path / "config.json", missing=ModelNotFoundError)
    if not (path / "tokenizer.json").is_file() and not (path / "tokenizer_config.json").is_file():
        raise _incomplete(path, "tokenizer.json", "is missing")
    return ModelFolder(path=path, config=config, weights_bytes=check_weights(path))


def check_weights(path: Path) -> int:
    """Check that every weight file is there, as the shard index names them, and whole.

    Returns:
        Their size, in bytes.

    Raises:
        ModelIncompleteError: a file is missing, cut short, or not in the safetensors format.
    """
    return sum(_check_shard(path, name) for name in _shard_names(path))


def _shard_names(path: Path) -> list[str]:
    index_path = path / INDEX_NAME
    if index_path.is_file():
        index = _read_json(index_path, missing=ModelIncompleteError)
        weight_map = index.get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise _incomplete(path, INDEX_NAME, "has no weight_map")
        if not all(isinstance(name, str) for name in weight_map.values()):
            raise _incomplete(path, INDEX_NAME, "has a weight_map that names no files")
        return sorted(set(weight_map.values()))
    names = sorted(file.name for file in path.glob("*.safetensors"))
    if not names:
        raise _incomplete(path, "*.safetensors", "are missing (no other format is served)")
    return names


def _check_shard(folder: Path, name: str) -> int:
    """Size of a complete safetensors file, in bytes.

    Source: the safetensors format: 8 bytes of header length, little-endian; the header, JSON;
    then the data, whose end is the largest of the header's offsets.
    """
    shard = folder / name
    # A name in an index is somebody else's text.
    try:
        if shard.parent != folder or not shard.is_file():
            raise _incomplete(folder, name, "is missing")
        size = shard.stat().st_size
        with shard.open("rb") as file:
            expected = _size_by_header(file, size)
    except OSError as error:
        raise _incomplete(folder, name, f"cannot be read ({error.strerror})") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error):
        raise _incomplete(folder, name, "has no safetensors header") from None
    if size != expected:
        raise _incomplete(
            folder,
            name,
            f"has {human_bytes(size)} where its header says {human_bytes(expected)} "
            f"({size:,} and {expected:,} bytes)",
        )
    return size


def _size_by_header(file: BinaryIO, size: int) -> int:
    (header_bytes,) = struct.unpack("<Q", file.read(_LENGTH_BYTES))
    if header_bytes > min(size, _LARGEST_HEADER_BYTES):
        raise ValueError(header_bytes)
    header = parse_json(file.read(header_bytes), finite=True)
    ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
    return _LENGTH_BYTES + int(header_bytes) + max(ends, default=0)


def _read_json(file: Path, *, missing: type[ModelNotFoundError | ModelIncompleteError]) -> Any:
    try:
        content = parse_json(read_foreign(file, most_bytes=LARGEST_JSON_BYTES))
    except OSError as error:
        raise missing(
            f"{file.name} cannot be read in the model folder {file.parent}: {error.strerror}.",
            action="Check --model-path, or download the model again.",
        ) from error
    except ValueError as error:
        deep = "is nested too deep" if "deeper" in str(error) else "is not JSON"
        raise _incomplete(file.parent, file.name, deep) from None
    if not isinstance(content, dict):
        raise _incomplete(file.parent, file.name, "is not a JSON object")
    return content


def _incomplete(folder: Path, name: str, what: str) -> ModelIncompleteError:
    return ModelIncompleteError(
        f"{name} {what} in the model folder {folder}.",
        action="Download that file again.",
    )
