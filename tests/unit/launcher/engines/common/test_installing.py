"""Environments of engines, made by the real uv of a wheel that is written here."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from launcher.cli.engines import engine as command
from launcher.engines.common import installing
from launcher.engines.common.environments import (
    Environment,
    environment_of,
    environments_root,
    list_environments,
)
from launcher.engines.common.installing import Installable, install, remove, users_of
from launcher.errors import InstallError, InsufficientDiskError
from launcher.names import RUN_ID_VARIABLE
from launcher.state.store import RunStore
from launcher.system.locks import open_locked
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import make_record

ROOM_BYTES = 1024
RUN_ID = "0123456789abcdef"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, and a folder of wheels that uv looks into; nothing comes from a network."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    # Of the tests' own environment.
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    (tmp_path / "wheels").mkdir()
    write_wheel(tmp_path / "wheels")
    return tmp_path


def write_wheel(folder: Path, name: str = "tiny-engine", version: str = "1.2") -> None:
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", "ANSWER = 42\n")
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tags)
        names = f"{module}/__init__.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"
        wheel.writestr(f"{info}/RECORD", "".join(f"{one},,\n" for one in names))


def tiny(version: str = "1.2", disk_bytes: int = ROOM_BYTES) -> Installable:
    environment = environment_of("tiny-engine", version)
    return Installable(environment, (), disk_bytes, "of a test")


def make(what: Installable, *, force: bool = False) -> bool:
    return bool(install(what, offline=True, force=force, quiet=True)["made"])


def test_an_environment_is_made_once_and_has_the_package_and_its_bytecode() -> None:
    what = tiny()

    assert make(what)

    assert what.environment.is_whole
    assert list_environments() == (what.environment,)
    asked = "import tiny_engine; print(tiny_engine.ANSWER)"
    done = subprocess.run(
        [what.environment.python, "-I", "-c", asked], capture_output=True, text=True, check=True
    )
    assert done.stdout == "42\n"
    assert list(what.environment.folder.glob("lib/*/site-packages/tiny_engine/__pycache__/*.pyc"))
    record = installing.read_record(what.environment)
    assert (record["version"], record["note"]) == ("1.2", "of a test")
    assert record["size_bytes"] > 0
    assert not make(what)
    assert make(what, force=True)

    remove(what.environment)

    assert list_environments() == ()


def test_what_fails_leaves_nothing_and_says_why() -> None:
    what = tiny("9.9")

    with pytest.raises(InstallError) as caught:
        make(what)

    assert "uv pip" in caught.value.problem
    assert "--offline" in caught.value.action
    assert any("tiny-engine" in line for line in caught.value.evidence)
    assert not what.environment.folder.exists()


def test_an_installation_that_was_broken_off_is_made_anew() -> None:
    what = tiny()
    folder = what.environment.folder
    (folder / "bin").mkdir(parents=True)
    (folder / "left").touch()

    assert not what.environment.is_whole
    assert [one.name for one in list_environments()] == ["tiny-engine-1.2"]
    assert make(what)
    assert not (folder / "left").exists()


def test_without_uv_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    with pytest.raises(InstallError, match="uv"):
        make(tiny())

    assert not environments_root().exists()


def test_two_installations_do_not_meet() -> None:
    environments_root().mkdir(parents=True, mode=0o700)
    with (
        open_locked(environments_root() / ".lock"),
        pytest.raises(InstallError, match="under way"),
    ):
        make(tiny())


def test_a_disk_without_room_is_told_before_anything_is_fetched() -> None:
    what = tiny(disk_bytes=10**18)

    with pytest.raises(InsufficientDiskError, match="free"):
        make(what)

    assert not what.environment.folder.exists()


@pytest.fixture
def server() -> Iterator[ProcessIdentity]:
    """A process that has the run id of a record."""
    environment = {**os.environ, RUN_ID_VARIABLE: RUN_ID}
    with subprocess.Popen(["/bin/sleep", "60"], env=environment, start_new_session=True) as process:
        yield ProcessIdentity.of(process.pid)
        process.kill()


def serve_from(environment: Environment, server: ProcessIdentity) -> None:
    store = RunStore("mine")
    store.create()
    argv = (str(environment.python), "-m", "x")
    fields = {"name": "mine", "run_id": RUN_ID, "command": argv, "server": server}
    with store.lock():
        store.write(make_record(store.folder, **fields))


def test_an_environment_that_serves_is_neither_removed_nor_made_anew(
    server: ProcessIdentity,
) -> None:
    what = tiny()
    make(what)
    serve_from(what.environment, server)

    assert users_of(what.environment) == ("mine",)
    assert users_of(environment_of("tiny-engine", "1")) == ()
    for attempt in (lambda: remove(what.environment), lambda: make(what, force=True)):
        with pytest.raises(InstallError, match="serves: mine"):
            attempt()
    assert what.environment.is_whole


def test_the_command_lists_and_removes() -> None:
    make(tiny())
    runner = CliRunner()

    listed = json.loads(runner.invoke(command, ["list", "--json"]).stdout)["engines"]
    assert [(one["name"], one["whole"], one["serves"]) for one in listed] == [
        ("tiny-engine-1.2", True, [])
    ]
    assert "of a test" in runner.invoke(command, ["list"]).stdout
    kept = runner.invoke(command, ["remove", "tiny-engine-1.2"], input="n\n")
    assert kept.exit_code == 1
    assert runner.invoke(command, ["remove", "tiny-engine-1.2", "--yes"]).exit_code == 0
    assert "None is installed" in runner.invoke(command, ["list"]).stdout
    missing = runner.invoke(command, ["remove", "other", "--yes"])
    assert isinstance(missing.exception, InstallError)
