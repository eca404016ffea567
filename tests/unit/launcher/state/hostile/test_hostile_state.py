"""Whatever stands in the state folder: no traceback, no hang, nobody else's is touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.errors import ClientError
from launcher.errors import LauncherError
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.state.hostile.cases import COMMANDS, OURS, Case, Wrong, cases
from tests.unit.launcher.state.hostile.world import Outcome, World

LEAST_CASES = 2000
# What a terminal acts on.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def codes_of(error: type[LauncherError | ClientError]) -> set[int]:
    """The exit codes of a tree of errors."""
    return {error.exit_code}.union(*(codes_of(below) for below in error.__subclasses__()))


# Each with a row in the README. 1 is Python's own, for a traceback.
DOCUMENTED = ({0, 2, 130} | codes_of(LauncherError) | codes_of(ClientError)) - {1}


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that the records name, and that is none of ours."""
    with subprocess.Popen(
        [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def faults_of(case: Case, world: World, bystander: subprocess.Popen[bytes]) -> list[str]:
    """What is wrong with how a command took a case."""
    with world.of(case):
        before = world.sentinel()
        outcome = world.run(case.command)
        found = list(_faults(case, outcome))
        if world.sentinel() != before:
            found.append("something outside has changed")
    if not ProcessIdentity.of(bystander.pid).is_alive() or bystander.poll() is not None:
        found.append("a bystander was killed")
    return found


def _faults(case: Case, outcome: Outcome) -> Iterator[str]:
    if outcome.raised:
        yield outcome.raised
    elif outcome.code not in DOCUMENTED:
        yield f"exit code {outcome.code}"
    if "Traceback" in outcome.errors:
        yield "a traceback"
    for stream in (outcome.output, outcome.errors):
        if not outcome.raised and (control := CONTROLS.search(stream)):
            yield f"{control[0]!r} reaches the terminal"
    if outcome.code is not None and any(map(is_not_ours, case.wrongs)):
        yield from _beliefs(case, outcome)
    if "--json" in case.command and not outcome.raised:
        try:
            for document in _documents(outcome.output):
                json.loads(document, parse_constant=_no_json)
        except ValueError as error:
            yield f"no JSON: {error}"


def is_not_ours(wrong: Wrong) -> bool:
    """Whether a record, or the way to it, is one that somebody else could have written."""
    if wrong.file not in {"run.json", ".", ".."}:
        return False
    odd = wrong.kind not in {"missing", "regular", "folder", "full folder"}
    return odd or wrong.owner != OURS or bool((wrong.mode or 0) & 0o022)


def _beliefs(case: Case, outcome: Outcome) -> Iterator[str]:
    """What was believed of such a record."""
    if case.command == "status --json" and '"run_id"' in outcome.output:
        yield "a record that is not ours is believed"
    # Above the server's folder a link of our own may stand, and our own group may write.
    theirs = [one for one in case.wrongs if one.file != ".." or one.owner != OURS]
    if case.command == "client" and outcome.code == 0 and any(map(is_not_ours, theirs)):
        yield "a record that is not ours is believed by a client"


def _documents(text: str) -> list[str]:
    """`print_json`'s document, and lines of one each, as errors are."""
    lines = text.splitlines()
    cut = next((number for number, line in enumerate(lines) if line == "}"), -1) + 1
    return ["\n".join(lines[:cut])] * bool(cut) + lines[cut:]


def _no_json(constant: str) -> None:
    raise ValueError(constant)


def test_there_are_as_many_cases_as_promised() -> None:
    assert sum(len(cases(command)) for command in COMMANDS) >= LEAST_CASES


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_survives_whatever_it_meets(
    command: str,
    tmp_path: Path,
    bystander: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(tmp_path, ProcessIdentity.of(bystander.pid))
    monkeypatch.setenv("XDG_STATE_HOME", str(world.state))
    for name in ("SPECSERVE_BASE_URL", "SPECSERVE_NAME", "SPECSERVE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    failed: list[str] = []
    for case in cases(command):
        if bystander.poll() is not None:
            pytest.fail(f"a bystander was killed: {failed[-1]}")
        if found := faults_of(case, world, bystander):
            failed.append(f"{case.wrongs}: {'; '.join(found)}")
    assert not failed, f"{len(failed)} of {len(cases(command))}:\n" + "\n".join(failed[:40])
