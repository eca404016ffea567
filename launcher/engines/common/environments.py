"""Environments of engines that cannot share the launcher's own: where they are, and what is there.

    DATA/engines/DISTRIBUTION-VERSION/bin/python

DATA is the user's data folder. `launcher.engines.common.installing` makes and removes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from launcher.state.paths import APPLICATION

_NAME: Final = re.compile(r"(?P<distribution>[a-z0-9]+(?:-[a-z][a-z0-9]*)*)-(?P<version>\d[\w.]*)")
# Written at last: without it an installation was broken off.
DONE_FILE: Final = "specserve-installed.json"


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment of its own that holds one engine.

    Attributes:
        distribution: the package that was installed.
        version: of it.
        folder: where.
    """

    distribution: str
    version: str
    folder: Path

    @property
    def name(self) -> str:
        """As the folder is called."""
        return f"{self.distribution}-{self.version}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def done_file(self) -> Path:
        """Says that the installation came to its end."""
        return self.folder / DONE_FILE

    @property
    def is_whole(self) -> bool:
        """Whether it was installed to the end and has an interpreter that is still there."""
        return self.done_file.is_file() and self.python.exists()


def environments_root() -> Path:
    """The folder that holds one folder for each of them."""
    return platformdirs.user_data_path(APPLICATION) / "engines"


def environment_of(distribution: str, version: str) -> Environment:
    """Where that version of a package is, or would be."""
    return Environment(distribution, version, environments_root() / f"{distribution}-{version}")


def list_environments() -> tuple[Environment, ...]:
    """All that are here, whole or not, by name; nothing where the folder cannot be read."""
    try:
        folders = sorted(environments_root().iterdir())
    except OSError:
        return ()
    found = [(_NAME.fullmatch(folder.name), folder) for folder in folders if folder.is_dir()]
    return tuple(
        Environment(match["distribution"], match["version"], folder)
        for match, folder in found
        if match is not None
    )
