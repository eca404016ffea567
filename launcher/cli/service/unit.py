"""The systemd unit of a server. Pure: text from values, which `command` gathers.

The unit runs `python -m launcher up` in the foreground, so that our supervisor is the process that
systemd watches, and the server is what the supervisor watches. Neither does the other's work:
systemd starts again a supervisor that died; what became of the server only the supervisor knows.
docs/service.md says what each setting is for, and why others are missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from launcher.errors import (
    ConfigError,
    HubBusyError,
    HubUnreachableError,
    InsufficientMemoryError,
    LauncherError,
    NoGpuError,
    PortInUseError,
    SpawnError,
)

# The supervisor's loop tells systemd twice in this time that it turns: sd_watchdog_enabled(3). It
# stands still while it ends a server: three times up to `KILL_TIMEOUT_SECONDS` of
# `launcher.supervision.server.end`.
WATCHDOG_SECONDS: Final = 90
# Until the supervisor's loop runs and asks for more by EXTEND_TIMEOUT_USEC: imports and checks, of
# which describing another SGLang's flags takes longest (`DUMP_TIMEOUT_SECONDS` of
# `launcher.engines.sglang.options.flags`).
START_SECONDS: Final = 300
RESTART_SECONDS: Final = 15
# What another start may find mended by itself: somebody else let go of the port, the memory or the
# GPU, or, early after a boot, the driver or the network came up.
RETRIED_ERRORS: Final = (
    *(PortInUseError, InsufficientMemoryError, NoGpuError, SpawnError),
    *(HubUnreachableError, HubBusyError),
)
USAGE_EXIT_CODE: Final = 2
INTERRUPTED_EXIT_CODE: Final = 130

# systemd's own default, and where its interpreter and CUDA's compiler keep what SGLang calls for
# the kernels that it builds at run time: `ninja` and `nvcc`.
_SYSTEM_PATH: Final = (
    "/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)
# One that needs no quotes, whatever of systemd's lists it stands in.
_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9_@+=:,./~-]+")
# Characters that systemd does not take in a unit: control characters, surrogates and noncharacters
# (`unichar_is_valid` in its src/basic/utf8.c, 252).
_UNFIT: Final = re.compile(
    "[\x00-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)

# By system call filters, which a user's own systemd can set too.
_CONFINED: Final = (
    "NoNewPrivileges=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=~@clock @cpu-emulation @module @mount @obsolete @raw-io @reboot @swap",
    "SystemCallErrorNumber=EPERM",
    "UMask=0077",
)
# By mounts and capabilities, which need privileges.
_CONFINED_BY_ROOT: Final = (
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server as systemd is to run it.

    Attributes:
        name: the server's name.
        python: the interpreter that has the launcher and SGLang; absolute.
        arguments: of `python -m launcher up`; every path in them absolute. Never a secret.
        account: who runs it; None for a unit of a user's own systemd.
        stop_seconds: from SIGTERM to the end of the supervisor, at the longest.
        restart: start a supervisor again that died.
        restart_limit: starts within `restart_window_seconds` after which systemd gives up.
        restart_window_seconds: see there.
        credentials: files that systemd reads as root and shows to the service alone; `api-key` is
            handed on as `--api-key-file`. None for a user's own systemd, whose service can read
            what its user can.
        environment: variables for the launcher and the server. Never a secret.
        writable: folders, besides its own, that the service may write in.
        needed: paths on whose mounts the start waits.
    """

    name: str
    python: Path
    arguments: tuple[str, ...]
    account: str | None
    stop_seconds: float
    restart: bool = True
    restart_limit: int = 5
    restart_window_seconds: float = 600.0
    credentials: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    writable: tuple[Path, ...] = ()
    needed: tuple[Path, ...] = ()

    @property
    def unit_name(self) -> str:
        """What systemd calls it."""
        return f"specserve-{self.name}.service"


def unit_text(service: Service) -> str:
    """The unit file.

    Raises:
        ConfigError: an argument, a path or a variable has a character that a unit cannot hold.
    """
    lines = [
        "# Written by `python -m launcher service`; docs/service.md explains each setting.",
        "[Unit]",
        *_unit(service),
        "",
        "[Service]",
        *_process(service),
        "",
        "# When it is up, when it hangs, when it is over.",
        *_supervision(service),
        "",
        "# Limits.",
        *("LimitNOFILE=65535:524288", "LimitMEMLOCK=infinity", "LimitCORE=0"),
        "",
        "# What it may do.",
        *_CONFINED,
        *(_CONFINED_BY_ROOT if service.account is not None else ()),
        # The dash: one that does not exist is for the launcher to tell.
        *(f"ReadWritePaths={_listed(path, prefix='-')}" for path in service.writable),
        "",
        "[Install]",
        f"WantedBy={'default' if service.account is None else 'multi-user'}.target",
    ]
    return "\n".join(lines) + "\n"


def prevented_exit_codes() -> tuple[int, ...]:
    """Exit codes of `up` after which another start would end in the same way."""
    retried = {error.exit_code for error in RETRIED_ERRORS}
    # The code of the base class is Python's own, for a defect: that is worth another start.
    known = {error.exit_code for error in _descendants(LauncherError)}
    return tuple(sorted({USAGE_EXIT_CODE} | known - retried))


def quote(word: str) -> str:
    """One word of a command line or of `Environment=`, which systemd reads back as it is.

    The command line must not be subject to the expansion of variables (the prefix `:`), for which
    a dollar sign would have to be doubled.

    Source: systemd.syntax(7), "Quoting"; systemd.service(5), "Command lines"; systemd.unit(5),
    "Specifiers".

    Raises:
        ConfigError: it has a character that a unit cannot hold.
    """
    _check(word)
    doubled = word.replace("%", "%%")
    if _PLAIN_WORD.fullmatch(word):
        return doubled
    escaped = doubled.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unit(service: Service) -> Iterator[str]:
    yield f"Description=SGLang server {service.name} (specserve)"
    if service.account is not None:
        yield "Wants=network-online.target"
        yield "After=network-online.target nvidia-persistenced.service"
    if service.needed:
        yield f"RequiresMountsFor={' '.join(map(_listed, service.needed))}"
    # Longer than the starts themselves take, or there would be no limit.
    window_seconds = max(
        service.restart_window_seconds, 2 * service.restart_limit * RESTART_SECONDS
    )
    yield f"StartLimitIntervalSec={_seconds(window_seconds)}"
    yield f"StartLimitBurst={service.restart_limit}"


def _process(service: Service) -> Iterator[str]:
    path = f"{service.python.parent}:{_SYSTEM_PATH}"
    if service.account is not None:
        yield f"User={quote(service.account)}"
        yield "StateDirectory=specserve"
        yield "StateDirectoryMode=0700"
        yield "CacheDirectory=specserve"
        yield "CacheDirectoryMode=0700"
        # Caches of compiled kernels go below HOME, which the service could not write in.
        yield "Environment=HOME=%C/specserve XDG_STATE_HOME=%S XDG_CACHE_HOME=%C/specserve"
    for name, value in {"PATH": path, **service.environment}.items():
        yield f"Environment={quote(f'{name}={value}')}"
    for name, file in service.credentials.items():
        yield f"LoadCredential={name}:{_checked_path(file)}"
    # `-P`: what lies in the folder where systemd starts it must not be imported.
    # `--log-json`: to a journal, which is no terminal, `up` tells nothing else of its server.
    words = ["up", "--log-json", *(f"--{name}-file=%d/{name}" for name in service.credentials)]
    words += map(quote, service.arguments)
    yield f"ExecStart=:{quote(str(service.python))} -P -m launcher \\"
    yield " \\\n".join(f"    {word}" for word in words)


def _supervision(service: Service) -> Iterator[str]:
    yield "Type=notify"
    yield "NotifyAccess=main"
    yield f"WatchdogSec={WATCHDOG_SECONDS}"
    yield f"TimeoutStartSec={START_SECONDS}"
    yield f"TimeoutStopSec={_seconds(service.stop_seconds)}"
    yield "KillMode=mixed"
    yield "SendSIGKILL=yes"
    yield "OOMPolicy=continue"
    yield f"SuccessExitStatus={INTERRUPTED_EXIT_CODE}"
    if service.restart:
        yield "Restart=on-failure"
        yield f"RestartSec={RESTART_SECONDS}"
        yield f"RestartPreventExitStatus={' '.join(map(str, prevented_exit_codes()))}"
    else:
        yield "Restart=no"


def _descendants(error: type[LauncherError]) -> Iterator[type[LauncherError]]:
    for child in error.__subclasses__():
        yield child
        yield from _descendants(child)


def _listed(path: Path, *, prefix: str = "") -> str:
    """A path in a list of paths: there, quotes group words, and a backslash escapes nothing."""
    text = prefix + _checked_path(path)
    if '"' in text or "\\" in text:
        raise ConfigError(
            f"The path {text!r} has a quotation mark or a backslash, which systemd takes in no "
            "list of paths.",
            action="Use a path without, such as a symbolic link.",
        )
    return text if _PLAIN_WORD.fullmatch(text.replace("%", "")) else f'"{text}"'


def _checked_path(path: Path) -> str:
    _check(str(path))
    return str(path).replace("%", "%%")


def _check(text: str) -> None:
    if _UNFIT.search(text):
        raise ConfigError(
            f"{text!r} has a character that a systemd unit cannot hold.",
            action="Leave out line ends and other control characters.",
        )


def _seconds(seconds: float) -> str:
    return "infinity" if math.isinf(seconds) else str(math.ceil(seconds))
