"""A state folder as a case wants it, a tree beside it, and a command run in this process."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import click

import launcher.cli.main
from clients.cli.safe import terminal_safe
from clients.errors import ClientError
from clients.http.endpoint import find_admin_key, resolve_endpoint
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.state.hostile.cases import COMMANDS, OURS, Case, Contents, Wrong

HANG_SECONDS: Final = 5.0
_NAME: Final = "default"
_FOLDERS: Final = {".": "specserve/servers/default", "..": "specserve/servers"}


class HangError(BaseException):
    """A command took longer than it may; none of its own handlers takes this."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: `code` is None where an exception came out of it."""

    code: int | None
    output: str
    errors: str
    raised: str = ""


class World:
    """The folders of one case, made anew for each."""

    def __init__(self, root: Path, bystander: ProcessIdentity) -> None:
        self.root = root
        self.state = root / "state"
        self.folder = self.state / "specserve" / "servers" / _NAME
        self.outside = root / "outside"
        self._contents = Contents(str(self.folder), str(self.outside), bystander)

    @contextlib.contextmanager
    def of(self, case: Case) -> Iterator[None]:
        """Make it as the case wants it; all of it goes in the end."""
        try:
            self._make_right()
            # The folders last, since a link or a pipe in their place hides what is in them.
            for wrong in sorted(case.wrongs, key=lambda one: one.file in _FOLDERS):
                self._spoil(wrong)
            yield
        finally:
            for folder in (*self.root.glob("moved*"), self.state, self.outside):
                _remove(folder)

    def _make_right(self) -> None:
        self.folder.mkdir(parents=True, mode=0o700)
        self.outside.mkdir()
        (self.outside / "file").write_text("not yours\n")
        (self.outside / "folder").mkdir()
        (self.outside / "folder" / "file").write_text("nor this\n")
        for folder in (self.folder, *self.folder.parents[:3]):
            folder.chmod(0o700)
        for file in ("run.json", "events.jsonl", "server.log", "server.log.1", "lock"):
            self._write(self.folder / file, Wrong(file))

    def _write(self, path: Path, wrong: Wrong) -> None:
        path.write_bytes(self._contents.of(wrong))
        path.chmod(0o600)

    def _spoil(self, wrong: Wrong) -> None:
        path = (
            self.state / _FOLDERS[wrong.file]
            if wrong.file in _FOLDERS
            else self.folder / wrong.file
        )
        if not path.parent.is_dir():
            return
        is_folder = wrong.file in _FOLDERS
        if wrong.kind != "regular" or not is_folder:
            self._take_away(path)
            self._put(path, wrong)
        if not os.path.lexists(path):
            return
        if wrong.mode is not None and not path.is_symlink():
            # A folder can be entered by whoever may read it.
            path.chmod(wrong.mode | (wrong.mode & 0o444) >> 2 if path.is_dir() else wrong.mode)
        if wrong.owner != OURS:
            os.chown(path, wrong.owner, wrong.owner, follow_symlinks=False)

    def _take_away(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            path.rename(self._moved(path))
        elif os.path.lexists(path):
            path.unlink()

    def _moved(self, path: Path) -> Path:
        return self.root / f"moved-{path.name}"

    def _put(self, path: Path, wrong: Wrong) -> None:  # noqa: PLR0912  # one for each kind
        match wrong.kind:
            case "regular":
                self._write(path, wrong)
            case "link inside":
                target = path.with_name("elsewhere")
                moved = self._moved(path)
                if moved.is_dir():
                    moved.rename(target)
                else:
                    self._write(target, wrong)
                path.symlink_to(target)
            case "link outside":
                moved = self._moved(path)
                path.symlink_to(moved if moved.is_dir() else self.outside / "file")
            case "dangling link":
                path.symlink_to(self.outside / "nothing")
            case "link to itself":
                path.symlink_to(path)
            case "pipe":
                os.mkfifo(path)
            case "folder":
                path.mkdir()
            case "full folder":
                path.mkdir()
                (path / "file").write_text("in the way\n")
            case "socket":
                _make_socket(path)
            case "device":
                # As root only: elsewhere a pipe has to do.
                try:
                    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
                except PermissionError:
                    os.mkfifo(path)

    def sentinel(self) -> list[tuple[str, int, int, bytes]]:
        """All that is outside: names, modes, owners and contents."""
        found = []
        for path in sorted(self.outside.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found.append((str(path), status.st_mode, status.st_uid, content))
        return found

    def run(self, command: str) -> Outcome:
        """Run a command as `python -m` would, with an alarm for what hangs."""
        words = COMMANDS[command]
        main = _find_server if words == ["client"] else launcher.cli.main.main
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
        before, argv = signal.signal(signal.SIGALRM, _hang), sys.argv
        sys.argv = ["-m", *words]
        code: int | None = None
        raised = ""
        signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
        try:
            with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
                main()
            code = 0
        except SystemExit as end:
            code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
        except HangError:
            raised = f"hangs for {HANG_SECONDS} s"
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is a finding
            raised = f"{type(error).__name__}: {error}"[:300]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            sys.argv = argv
        for stream in streams:
            stream.flush()
        texts = [stream.buffer.getvalue().decode("utf-8", "replace") for stream in streams]
        return Outcome(code, texts[0], texts[1], raised)


def _find_server() -> None:
    """What every client does first."""
    try:
        endpoint = resolve_endpoint(None, None, server=_NAME, environ={})
        find_admin_key(endpoint, None, environ={})
    except ClientError as error:
        click.echo(terminal_safe(f"{error.problem}\n{error.action}"), err=True)
        sys.exit(error.exit_code)


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise HangError


def _make_socket(path: Path) -> None:
    # The name of a socket is short, and a test's folder is not.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        for folder in (path, *path.rglob("*")):
            if folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o700)
        shutil.rmtree(path)
