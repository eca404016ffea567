"""Becomes another program that dies with the process that started it.

Usage: `python -I -S bind.py PARENT_PID PROGRAM ARGUMENTS...`. Standard library only, since it runs
as a script before the server does. prctl(2): the kernel sends the signal when the parent's *thread*
ends, keeps the setting over execve(2), and does not hand it on to children; SGLang's own children
have one of their own.
"""

from __future__ import annotations

import os
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_SIGKILL: Final = 9


def main() -> None:
    """Bind this process to its parent and become the program."""
    import ctypes  # noqa: PLC0415  # the launcher imports this module for its path alone

    parent, *program = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    # It may have died before the kernel was told.
    if os.getppid() == int(parent):
        os.execv(program[0], program)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main()
