"""What is known here of a repository's weights, without the network: its commit and its size."""

from __future__ import annotations

import contextlib
import re

from launcher.config.server_config import REPOSITORY_PATTERN
from launcher.errors import ModelNotFoundError, UnknownShapeError
from launcher.memory.weights import checkpoint_bytes
from launcher.models.store import find_in_cache
from launcher.preflight.fit import find_shape_here


def known_commit(repository: str) -> str | None:
    """The commit that the main branch means here; None where nothing of it was downloaded."""
    if re.fullmatch(REPOSITORY_PATTERN, repository) is None:
        return None
    found = find_in_cache(repository, None)
    return found.commit if found is not None else None


def weights_bytes(repository: str) -> int | None:
    """The size of a repository's weights, in bytes; None where it is neither here nor shipped.

    Of files that are here, or of the tensors that a known shape has.
    """
    if re.fullmatch(REPOSITORY_PATTERN, repository) is None:
        return None
    with contextlib.suppress(ModelNotFoundError, UnknownShapeError):
        found = find_shape_here(repository, lambda: find_in_cache(repository, None))
        if found is not None:
            return found.on_disk_bytes or checkpoint_bytes(found.shape)
    return None
