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

from typing import ClassVar


class BenchmarkError(Exception):
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


class PlanError(BenchmarkError):
    """What was asked for makes no sense."""

    exit_code = 70


class WorkloadError(PlanError):
    """A file of prompts cannot be used."""

    exit_code = 71


class TargetError(BenchmarkError):
    """A server cannot be measured."""

    exit_code = 72


class UnreachableError(TargetError):
    """Nothing answers at a URL."""

    exit_code = 73


class ArmFailedError(TargetError):
    """A server did not start, or ended while it was measured."""

    exit_code = 74


class StorageError(BenchmarkError):
    """The results cannot be written."""

    exit_code = 75


class ReportError(BenchmarkError):
    """A report cannot be read, or two cannot be compared."""

    exit_code = 76


class RegressionError(BenchmarkError):
    """A report is worse than another by more than the threshold."""

    exit_code = 77


class PeerError(BenchmarkError):
    """Another benchmark failed, or printed what cannot be read."""

    exit_code = 78
