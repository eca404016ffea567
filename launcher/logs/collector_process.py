"""Starts a collector (`launcher/logs/collector.py`) and tells it what to do."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from launcher.logs import collector
from launcher.system.process import ProcessIdentity

# Room for what the server prints while a collector that was killed is replaced.
PIPE_BYTES: Final = 1024 * 1024
# All that an interpreter may need to start. The server's run id is not among it: a collector that
# had it would be taken for a process of the server.
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "TZ")


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """What every collector of one server is told."""

    log_file: Path
    secrets: tuple[str, ...] = field(repr=False)
    rotate_bytes: int
    keep_files: int

    def new_log(self) -> collector.LogFile:
        """The log, for somebody else than a collector to write."""
        return collector.LogFile(
            str(self.log_file), rotate_bytes=self.rotate_bytes, keep_files=self.keep_files
        )


@dataclass(frozen=True, slots=True)
class CollectorProcess:
    """A collector of ours, and the pipe by which it hands lines on."""

    popen: subprocess.Popen[bytes]
    identity: ProcessIdentity
    lines: int
    started_at: float

    @classmethod
    def spawn(
        cls, settings: CollectorSettings, source: int, *, in_the_middle: bool
    ) -> CollectorProcess:
        """Start one that reads from `source`.

        Raises:
            OSError: the system refuses another process.
        """
        reading, writing = os.pipe()
        try:
            enlarge_pipe(writing)
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", collector.__file__, str(settings.log_file)],
                stdin=subprocess.PIPE,
                stdout=writing,
                stderr=writing,  # a traceback of its own is a line like the server's
                pass_fds=[source],
                cwd="/",
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                # Ctrl-C at the terminal, or the end of the terminal, is not meant for it.
                start_new_session=True,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        told = asdict(settings) | {"source": source, "in_the_middle": in_the_middle}
        assert popen.stdin is not None  # noqa: S101  # we asked for a pipe
        # One that was killed at once is replaced like any other.
        with contextlib.suppress(BrokenPipeError), popen.stdin as pipe:
            pipe.write(json.dumps(told, default=str).encode())
        try:
            identity = ProcessIdentity.of(popen.pid)
        except OSError:
            popen.kill()
            popen.wait()
            os.close(reading)
            raise
        return cls(popen, identity, reading, time.monotonic())

    def close(self) -> None:
        """Reap it; it has ended."""
        self.popen.wait()
        os.close(self.lines)


def enlarge_pipe(pipe: int) -> None:
    """Give a pipe more room, as far as the system allows (fcntl(2), F_SETPIPE_SZ)."""
    import fcntl  # noqa: PLC0415  # Windows has none, and imports this module all the same

    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
