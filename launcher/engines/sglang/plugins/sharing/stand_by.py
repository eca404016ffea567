"""The wait of a process that has imported everything, until the launcher needs a server.

It is the first process of the next run: the same command, the same environment, started ahead. It
has read no argument, no key and no file of the model, and has no thread and no child. The other end
is `launcher.supervision.server.stand_by`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import Final

from launcher.names import STAND_BY_GOING, STAND_BY_READY, STAND_BY_VARIABLE

_MESSAGE_BYTES: Final = 64
_SCORE: Final = Path("/proc/self/oom_score_adj")
# Where memory runs out the kernel is to kill this process, and no server.
_FIRST_TO_GO: Final = "1000"


def wait() -> None:
    """Rest where this process was started to; returns once it is to be a server.

    Its standard output is then what the launcher has sent: the log of that run. It ends where
    the launcher does.
    """
    descriptor = os.environ.pop(STAND_BY_VARIABLE, "")
    if not descriptor.isdigit():
        return
    with socket.socket(fileno=int(descriptor)) as control:
        # Nothing that this process starts may hold the launcher's end open.
        control.set_inheritable(False)
        score = _SCORE.read_text()
        with contextlib.suppress(OSError):
            _SCORE.write_text(_FIRST_TO_GO)
        control.send(STAND_BY_READY)
        message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 1)
        if not message or not descriptors:
            os._exit(0)
        with contextlib.suppress(OSError):
            _SCORE.write_text(score)
        output = descriptors[0]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(output, stream.fileno())
        os.close(output)
        control.send(STAND_BY_GOING)


def is_asked_for() -> bool:
    """Whether this process was started to stand by."""
    return STAND_BY_VARIABLE in os.environ
