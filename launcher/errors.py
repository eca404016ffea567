"""Every way the launcher can fail, one class and one exit code each.

LauncherError
├── ConfigError                 10  what was asked for makes no sense
│   ├── UnknownPresetError      11
│   ├── UnknownKeyError         12
│   ├── InvalidValueError       13
│   ├── ConfigFileError         14
│   ├── UnknownFlagError        15  SGLang's own parser does not take it
│   ├── SecretInArgumentsError  16
│   └── UnknownShapeError       17  this model's memory cannot be added up
├── PreflightError              20  this machine cannot serve it now
│   ├── PortInUseError          21
│   ├── ModelNotFoundError      22
│   ├── ModelIncompleteError    23
│   ├── InsufficientDiskError   24
│   ├── InsufficientMemoryError 25
│   ├── NoGpuError              26
│   ├── EngineMissingError      27
│   ├── EngineBrokenError       28
│   ├── UnsupportedSystemError  29
│   └── SpeculationError        30  this algorithm does not run on this device
├── UnfitMachineError           39  `doctor` found something red
├── ServerError                 40
│   ├── AlreadyRunningError     41
│   ├── NotRunningError         42
│   ├── ServerExitedError       43  it ended before, or after, it was ready
│   ├── StartTimeoutError       44
│   ├── StopError               45  something is left that should be gone
│   ├── SpawnError              46  the system refuses another process
│   ├── ServerHungError         47  it lives, and nothing moves
│   ├── CrashLoopError          48  it failed too often in a row
│   └── ModelInUseError         49  what is to be removed is served, or downloaded
├── StateError                  50  the state folder cannot be read or written
└── HubError                    60  the model hub, or the way to it
    ├── HubUnreachableError     61  no answer, or none but errors
    ├── UnknownRepositoryError  62  no such repository, or a private one
    ├── UnknownRevisionError    63
    ├── GatedRepositoryError    64  its licence has to be accepted first
    ├── HubTokenError           65  the token is refused
    ├── HubBusyError            66  too many requests
    └── NoSafetensorsError      67  the repository has no weights that are served

Also used: 0 done, 2 wrong usage of the command line (click), 130 Ctrl-C before the server was
ready.
"""

from __future__ import annotations

from typing import ClassVar


class LauncherError(Exception):
    """A failure with what went wrong, what to do, and the evidence.

    Args:
        problem: one sentence with the measured value against the allowed one.
        action: one sentence on what to do next.
        evidence: the lines it was concluded from, the newest last.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, *, action: str, evidence: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.action = action
        self.evidence = evidence


class ConfigError(LauncherError):
    """What was asked for makes no sense."""

    exit_code = 10


class UnknownPresetError(ConfigError):
    """No preset has this name."""

    exit_code = 11


class UnknownKeyError(ConfigError):
    """A config file or the environment sets a field that does not exist."""

    exit_code = 12


class InvalidValueError(ConfigError):
    """A field has a value of the wrong type or outside its range."""

    exit_code = 13


class ConfigFileError(ConfigError):
    """A config file is missing, unreadable or malformed."""

    exit_code = 14


class UnknownFlagError(ConfigError):
    """SGLang's own parser does not take one of the arguments."""

    exit_code = 15


class SecretInArgumentsError(ConfigError):
    """A key would be readable by every user of the machine in the process list."""

    exit_code = 16


class UnknownShapeError(ConfigError):
    """The memory of this model cannot be planned: its config.json says too little, or too much."""

    exit_code = 17


class PreflightError(LauncherError):
    """This machine cannot serve the configuration now."""

    exit_code = 20


class PortInUseError(PreflightError):
    """Another process listens on the port."""

    exit_code = 21


class ModelNotFoundError(PreflightError):
    """The model folder does not exist or is not a model folder."""

    exit_code = 22


class ModelIncompleteError(PreflightError):
    """A file that the model needs is missing, shorter than it says it is, or another."""

    exit_code = 23


class InsufficientDiskError(PreflightError):
    """The download does not fit on the disk."""

    exit_code = 24


class InsufficientMemoryError(PreflightError):
    """The server does not fit in the host's memory."""

    exit_code = 25


class NoGpuError(PreflightError):
    """The preset needs GPUs that are not here, or not free."""

    exit_code = 26


class EngineMissingError(PreflightError):
    """SGLang is not installed beside the launcher."""

    exit_code = 27


class EngineBrokenError(PreflightError):
    """SGLang is installed and cannot be imported."""

    exit_code = 28


class UnsupportedSystemError(PreflightError):
    """The engine runs on Linux only."""

    exit_code = 29


class SpeculationError(PreflightError):
    """The speculative algorithm does not run on this device."""

    exit_code = 30


class UnfitMachineError(LauncherError):
    """Something is red: what was asked for cannot be served until it is mended.

    Never raised: `doctor` shows its rows and ends with this code.
    """

    exit_code = 39


class ServerError(LauncherError):
    """Something is wrong with a server, running or expected to run."""

    exit_code = 40


class AlreadyRunningError(ServerError):
    """A server of this name is running."""

    exit_code = 41


class NotRunningError(ServerError):
    """No server of this name is running."""

    exit_code = 42


class ServerExitedError(ServerError):
    """The server's process ended by itself."""

    exit_code = 43


class StartTimeoutError(ServerError):
    """The server was not ready within its deadline."""

    exit_code = 44


class StopError(ServerError):
    """A process or a port of the server is still there after it was stopped."""

    exit_code = 45


class SpawnError(ServerError):
    """The system refuses to start another process."""

    exit_code = 46


class ServerHungError(ServerError):
    """The server lives, and nothing moves in it."""

    exit_code = 47


class CrashLoopError(ServerError):
    """The server failed so often in a row that it is given up."""

    exit_code = 48


class ModelInUseError(ServerError):
    """The model is served, or downloaded, by another process."""

    exit_code = 49


class StateError(LauncherError):
    """The state folder cannot be read or written."""

    exit_code = 50


class HubError(LauncherError):
    """The model hub, or the way to it."""

    exit_code = 60


class HubUnreachableError(HubError):
    """The hub does not answer, or answers with errors of its own only."""

    exit_code = 61


class UnknownRepositoryError(HubError):
    """The hub has no such repository, or hides it from this token."""

    exit_code = 62


class UnknownRevisionError(HubError):
    """The repository has no such branch, tag or commit."""

    exit_code = 63


class GatedRepositoryError(HubError):
    """The repository's licence has to be accepted before its files are given out."""

    exit_code = 64


class HubTokenError(HubError):
    """The hub refuses the token, or wants one."""

    exit_code = 65


class HubBusyError(HubError):
    """The hub answers that there were too many requests."""

    exit_code = 66


class NoSafetensorsError(HubError):
    """The repository has no weights in the safetensors format."""

    exit_code = 67
