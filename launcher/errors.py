"""Every way the launcher can fail, one class and one exit code each.

LauncherError
├── ConfigError                 10  what was asked for makes no sense
│   ├── UnknownPresetError      11
│   ├── UnknownKeyError         12
│   ├── InvalidValueError       13
│   ├── ConfigFileError         14
│   ├── UnknownFlagError        15  the engine's own parser does not take it
│   ├── SecretInArgumentsError  16
│   ├── UnknownShapeError       17  this model's memory cannot be added up
│   ├── UnimportableError       18  a launch definition becomes no configuration
│   └── UnexportableError       19  a configuration becomes no manifest
├── PreflightError              20  this machine cannot serve it now
│   ├── PortInUseError          21
│   ├── ModelNotFoundError      22
│   ├── ModelIncompleteError    23
│   ├── InsufficientDiskError   24
│   ├── InsufficientMemoryError 25
│   ├── NoGpuError              26
│   ├── EngineMissingError      27
│   │   └── EngineNotInstalledError 35  of an engine that has an environment of its own
│   ├── EngineBrokenError       28
│   ├── UnsupportedSystemError  29
│   ├── SpeculationError        30  this algorithm does not run on this device
│   ├── IndivisibleModelError   31  SGLang cannot divide the model among so many ranks
│   ├── UnservedModelError      32  this model does not run on this device
│   ├── ResourceLimitError      33  a limit of the shell, service or container is too low
│   ├── RemoteServerError       34  a server elsewhere is none that can be routed to
│   ├── InstallError            36  an engine's environment could not be made or removed
│   ├── NodesDisagreeError      37  machines that are to serve together differ
│   └── NodeMissingError        38  a machine that is to serve with others did not come
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
│   ├── ForeignStateError       51  what is there is not ours alone
│   └── BrokenRecordError       52  what is there is no run record, or one that cannot be true
├── FleetError                  53  a fleet is not what it should be
│   └── RollError               54  a replacement was not as good, and the fleet went back
├── OutputError                 55  standard output cannot be written
└── HubError                    60  the model hub, or the way to it
    ├── HubUnreachableError     61  no answer, or none but errors
    ├── UnknownRepositoryError  62  no such repository, or a private one
    ├── UnknownRevisionError    63
    ├── GatedRepositoryError    64  its licence has to be accepted first
    ├── HubTokenError           65  the token is refused
    ├── HubBusyError            66  too many requests
    ├── NoSafetensorsError      67  the repository has no weights that are served
    └── HubAnswerError          68  an answer beyond all bounds: size, time, depth, redirects

Also used: 0 done, 2 wrong usage of the command line (click), 130 Ctrl-C before the server was
ready.
"""

from __future__ import annotations

from typing import ClassVar


class SpecserveError(Exception):
    """A failure with what went wrong, what to do, and the evidence.

    A subclass gets its exit code in its head, or inherits its parent's.

    Args:
        problem: one sentence with the measured value against the allowed one.
        action: one sentence on what to do next.
        evidence: the lines it was concluded from, the newest last.
    """

    exit_code: ClassVar[int] = 1

    def __init_subclass__(cls, *, exit_code: int | None = None) -> None:
        super().__init_subclass__()
        if exit_code is not None:
            cls.exit_code = exit_code

    def __init__(self, problem: str, *, action: str, evidence: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.action = action
        self.evidence = evidence


class LauncherError(SpecserveError):
    """What the launcher fails with."""


class ConfigError(LauncherError, exit_code=10):
    """What was asked for makes no sense."""


class UnknownPresetError(ConfigError, exit_code=11):
    """No preset has this name."""


class UnknownKeyError(ConfigError, exit_code=12):
    """A config file or the environment sets a field that does not exist.

    Args:
        problem: as of every error.
        action: as of every error.
        key: the name that is no field's.
    """

    def __init__(self, problem: str, *, action: str, key: str) -> None:
        super().__init__(problem, action=action)
        self.key = key


class InvalidValueError(ConfigError, exit_code=13):
    """A field has a value of the wrong type or outside its range."""


class ConfigFileError(ConfigError, exit_code=14):
    """A config file is missing, unreadable or malformed."""


class UnknownFlagError(ConfigError, exit_code=15):
    """The engine's own parser does not take one of the arguments."""


class SecretInArgumentsError(ConfigError, exit_code=16):
    """A key would be readable by every user of the machine in the process list."""


class UnknownShapeError(ConfigError, exit_code=17):
    """The memory of this model cannot be planned: its config.json says too little, or too much."""


class UnimportableError(ConfigError, exit_code=18):
    """A launch definition says what the launcher cannot do, or does not say enough."""


class UnexportableError(ConfigError, exit_code=19):
    """A manifest cannot say what the configuration says, or the configuration says too little."""


class PreflightError(LauncherError, exit_code=20):
    """This machine cannot serve the configuration now."""


class PortInUseError(PreflightError, exit_code=21):
    """Another process listens on the port."""


class ModelNotFoundError(PreflightError, exit_code=22):
    """The model folder does not exist or is not a model folder."""


class ModelIncompleteError(PreflightError, exit_code=23):
    """A file that the model needs is missing, shorter than it says it is, or another."""


class InsufficientDiskError(PreflightError, exit_code=24):
    """The download does not fit on the disk."""


class InsufficientMemoryError(PreflightError, exit_code=25):
    """The server does not fit in the host's memory."""


class NoGpuError(PreflightError, exit_code=26):
    """The preset needs GPUs that are not here, or not free."""


class EngineMissingError(PreflightError, exit_code=27):
    """The engine is not installed beside the launcher."""


class EngineNotInstalledError(EngineMissingError, exit_code=35):
    """An engine that has an environment of its own is not installed, or not in the one named."""


class EngineBrokenError(PreflightError, exit_code=28):
    """The engine is installed and cannot be imported."""


class UnsupportedSystemError(PreflightError, exit_code=29):
    """The engine runs on Linux only."""


class SpeculationError(PreflightError, exit_code=30):
    """The speculative algorithm does not run on this device."""


class IndivisibleModelError(PreflightError, exit_code=31):
    """The engine cannot divide the model among so many ranks."""


class UnservedModelError(PreflightError, exit_code=32):
    """The engine cannot run this model on this device."""


class ResourceLimitError(PreflightError, exit_code=33):
    """A limit that the system sets to this process, as `ulimit` shows it, is below the need."""


class RemoteServerError(PreflightError, exit_code=34):
    """A server on another machine does not answer, is no SGLang, or serves another model."""


class InstallError(PreflightError, exit_code=36):
    """An engine's environment could not be made, or must not be removed."""


class NodesDisagreeError(PreflightError, exit_code=37):
    """Machines that are to serve one model together differ in what has to be the same."""


class NodeMissingError(PreflightError, exit_code=38):
    """A machine that is to serve one model together with others did not come in time."""


class UnfitMachineError(LauncherError, exit_code=39):
    """Something is red: what was asked for cannot be served until it is mended.

    Never raised: `doctor` shows its rows and ends with this code.
    """


class ServerError(LauncherError, exit_code=40):
    """Something is wrong with a server, running or expected to run."""


class AlreadyRunningError(ServerError, exit_code=41):
    """A server of this name is running."""


class NotRunningError(ServerError, exit_code=42):
    """No server of this name is running."""


class ServerExitedError(ServerError, exit_code=43):
    """The server's process ended by itself."""


class StartTimeoutError(ServerError, exit_code=44):
    """The server was not ready within its deadline."""


class StopError(ServerError, exit_code=45):
    """A process or a port of the server is still there after it was stopped."""


class SpawnError(ServerError, exit_code=46):
    """The system refuses to start another process."""


class ServerHungError(ServerError, exit_code=47):
    """The server lives, and nothing moves in it."""


class CrashLoopError(ServerError, exit_code=48):
    """The server failed so often in a row that it is given up."""


class ModelInUseError(ServerError, exit_code=49):
    """The model is served, or downloaded, by another process."""


class StateError(LauncherError, exit_code=50):
    """The state folder cannot be read or written."""


class ForeignStateError(StateError, exit_code=51):
    """A folder or file of our state is another's, can be written by others, or is none."""


class BrokenRecordError(StateError, exit_code=52):
    """A run record has wrong types, or values that no server has. `up` and `down` set it aside."""


class FleetError(LauncherError, exit_code=53):
    """A fleet is not what it should be: members are missing, or another fleet has the name."""


class RollError(FleetError, exit_code=54):
    """What was to replace a member is not as good as that was; the fleet is as before."""


class OutputError(LauncherError, exit_code=55):
    """Standard output takes nothing: its disk is full, or broken."""


class HubError(LauncherError, exit_code=60):
    """The model hub, or the way to it."""


class HubUnreachableError(HubError, exit_code=61):
    """The hub does not answer, or answers with errors of its own only."""


class UnknownRepositoryError(HubError, exit_code=62):
    """The hub has no such repository, or hides it from this token."""


class UnknownRevisionError(HubError, exit_code=63):
    """The repository has no such branch, tag or commit."""


class GatedRepositoryError(HubError, exit_code=64):
    """The repository's licence has to be accepted before its files are given out."""


class HubTokenError(HubError, exit_code=65):
    """The hub refuses the token, or wants one."""


class HubBusyError(HubError, exit_code=66):
    """The hub answers that there were too many requests."""


class NoSafetensorsError(HubError, exit_code=67):
    """The repository has no weights in the safetensors format."""


class HubAnswerError(HubError, exit_code=68):
    """An answer of the hub is larger, slower or deeper than any right one, or leads in circles."""
