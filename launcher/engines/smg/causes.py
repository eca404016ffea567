"""Why a gateway ends, and how its output is read."""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import CauseTable, LogCause, OutputSigns, Retry, SilentCause

CAUSES: Final = CauseTable(
    errors={
        "gateway-port-in-use": LogCause(
            pattern=r"(?i)(?P<where>[\d.:\[\]a-f]+)?.*\bAddress already in use",
            sample="Error starting router: Failed to bind: Address already in use (os error 98)",
            summary="Another process listens on port {config.port} or on the port of its metrics.",
            action="Look with `ss -ltnp`, end that process, or name other ports in the fleet file.",
            retry=Retry.ALWAYS,
        ),
        "gateway-arguments": LogCause(
            pattern=r"error: (?P<what>(?:unrecognized arguments|argument -).{0,300})",
            sample="smg: error: unrecognized arguments: --polcy",
            summary="smg does not take one of its arguments: {what}.",
            action="`smg launch --help` lists them; mend `extra_args` of the gateway in the fleet "
            "file.",
        ),
        "gateway-configuration": LogCause(
            pattern=r"Error starting router: (?P<what>.{1,300})",
            sample="Error starting router: Configuration error: Invalid value for field",
            summary="smg did not start: {what}",
            action="Mend what it names in the gateway's part of the fleet file.",
        ),
        "gateway-descriptors": LogCause(
            pattern=r"(?i)too many open files",
            sample="accept error: Too many open files (os error 24)",
            summary="The gateway ran out of file descriptors: it needs two for each request.",
            action="Raise the limit (`ulimit -n 65536`, `LimitNOFILE=` of systemd).",
            retry=Retry.ONCE_SERVED,
        ),
        "gateway-panic": LogCause(
            pattern=r"thread '[^']*'(?: \(\d+\))? panicked at (?P<where>\S+?):?$",
            sample="thread 'tokio-runtime-worker' panicked at src/server.rs:10:5:",
            summary="The gateway itself failed, at {where}.",
            action="Report it to smg with the lines of the log; the launcher starts it again.",
            retry=Retry.ONCE_SERVED,
        ),
    },
    general={},
    echoes={},
    silent={
        "killed": SilentCause(
            applies=lambda end: end.returncode is not None and end.returncode < 0,
            summary="A signal from outside ended the gateway.",
            action="Find who sent it: `dmesg`, `journalctl`, whoever else uses this machine.",
            looks="ended by a signal without a word",
            retry=Retry.ALWAYS,
        ),
    },
    signs=OutputSigns(
        deadly=re.compile(r"Error starting router|panicked at"),
        alive=re.compile(r"Router ready"),
        harmless=re.compile(r"\b(?:INFO|WARN|DEBUG)\b"),
    ),
)
