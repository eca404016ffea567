"""What each machine brings to a common start, and where two of them differ. Pure, but for files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from launcher.config.arguments.options import options_of

# What each machine has by itself, or what only machine 0 reads.
_OWN: Final = frozenset(
    {
        *("--node-rank", "--host", "--port", "--config", "--model-path", "--base-gpu-id"),
        *("--gpu-id-step", "--dist-init-addr", "--dist-timeout"),
        *("--speculative-draft-model-path", "--speculative-adaptive-config"),
    }
)
# Of the model's folder: what decides the shapes, and the sizes of what has them.
_READ_WHOLE: Final = ("config.json", "generation_config.json", "model.safetensors.index.json")
_MOST_ARGUMENTS: Final = 512


class NodeFacts(BaseModel):
    """What has to be the same on all machines.

    Attributes:
        rank: this machine's number.
        nodes: how many there are.
        versions: of the packages that decide what a run does.
        model: a digest of the model; see `model_digest`.
        draft: of the draft model, where it is one of its own; "" otherwise.
        files: of other files that an option names, by the option.
        arguments: the engine's, without those that each machine has by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rank: int = Field(ge=0, lt=64)
    nodes: int = Field(ge=2, le=64)
    versions: dict[str, str] = Field(max_length=64)
    model: str = Field(max_length=200)
    draft: str = Field(default="", max_length=200)
    files: dict[str, str] = Field(default={}, max_length=16)
    arguments: tuple[tuple[str, str], ...] = Field(max_length=_MOST_ARGUMENTS)


def common_arguments(arguments: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Each option with its value, in a fixed order, without those that a machine has by itself."""
    return tuple(sorted(one for one in options_of(arguments) if one[0] not in _OWN))


def model_digest(commit: str | None, folder: Path) -> str:
    """What tells two models apart without reading their weights.

    Of a repository the commit. Of a folder its configuration and index, by their content, and its
    weights by name and size.
    """
    if commit is not None:
        return f"commit {commit}"
    digest = hashlib.sha256()
    for name in _READ_WHOLE:
        file = folder / name
        digest.update(name.encode() + (file.read_bytes() if file.is_file() else b""))
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
    return f"folder {digest.hexdigest()[:16]}"


def differences(leader: NodeFacts, follower: NodeFacts) -> tuple[str, ...]:
    """Where a machine differs from machine 0, a clause each; none where they agree."""
    who = f"machine {follower.rank}"
    found = []
    if follower.nodes != leader.nodes:
        found.append(f"nnodes is {leader.nodes} on machine 0 and {follower.nodes} on {who}")
    elif not 0 < follower.rank < leader.nodes:
        found.append(f"a machine has node_rank {follower.rank}, and the numbers are 1 to "
                     f"{leader.nodes - 1}")  # fmt: skip
    if follower.model != leader.model:
        found.append(f"the model is {leader.model} on machine 0 and {follower.model} on {who}")
    if follower.draft != leader.draft:
        drafts = (leader.draft or "none", follower.draft or "none")
        found.append(f"the draft model is {drafts[0]} on machine 0 and {drafts[1]} on {who}")
    found += _unlike(leader.files, follower.files, who)
    found += _unlike(leader.versions, follower.versions, who)
    found += _unlike(dict(leader.arguments), dict(follower.arguments), who)
    return tuple(found)


def _unlike(one: Mapping[str, str], other: Mapping[str, str], who: str) -> Iterator[str]:
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            here, there = _said(one.get(name)), _said(other.get(name))
            yield f"{name} is {here} on machine 0 and {there} on {who}"


def _said(value: str | None) -> str:
    return "not set" if value is None else value or "set"
