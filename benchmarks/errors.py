"""Every way a benchmark can fail, one class and one exit code each.

BenchmarkError
├── PlanError                  70  what was asked for makes no sense
│   └── WorkloadError          71  a file of prompts cannot be used: file, line, what is wrong
├── TargetError                72  a server cannot be measured
│   ├── UnreachableError       73  nothing answers at its URL
│   └── ArmFailedError         74  it did not start, or ended while it was measured
├── StorageError               75  the results cannot be written: a full disk, a folder in use
├── ReportError                76  a report cannot be read, or two cannot be compared
├── RegressionError            77  `compare`: worse by more than the threshold
└── PeerError                  78  another benchmark failed, or printed what we cannot read

Also used: 0 done, 2 wrong usage of the command line (click), 130 Ctrl-C. What was measured before
a failure is kept in every case, and the error names the folder.
"""

from __future__ import annotations

from launcher.errors import SpecserveError


class BenchmarkError(SpecserveError):
    """What a benchmark fails with."""


class PlanError(BenchmarkError, exit_code=70):
    """What was asked for makes no sense."""


class WorkloadError(PlanError, exit_code=71):
    """A file of prompts cannot be used."""


class TargetError(BenchmarkError, exit_code=72):
    """A server cannot be measured."""


class UnreachableError(TargetError, exit_code=73):
    """Nothing answers at a URL."""


class ArmFailedError(TargetError, exit_code=74):
    """A server did not start, or ended while it was measured."""


class StorageError(BenchmarkError, exit_code=75):
    """The results cannot be written."""


class ReportError(BenchmarkError, exit_code=76):
    """A report cannot be read, or two cannot be compared."""


class RegressionError(BenchmarkError, exit_code=77):
    """A report is worse than another by more than the threshold."""


class PeerError(BenchmarkError, exit_code=78):
    """Another benchmark failed, or printed what cannot be read."""
