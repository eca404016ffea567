"""One model over two machines: they begin together, recover together, end together."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.errors import NodeMissingError, NodesDisagreeError
from launcher.nano.folder import model_path
from tests.server.machines import Machine, finish, finish_all, two_machines, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

PATIENCE_SECONDS = 240.0
# Longer than the cable is out in a test; and short, for what hangs.
PATIENT = ("--health-timeout-seconds", "60")
IMPATIENT = ("--health-interval-seconds", "1", "--health-timeout-seconds", "4")
CABLE_SECONDS = 20.0
Pair = tuple[Machine, Machine]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with two_machines(tmp_path_factory.mktemp("machines")) as machines:
        yield machines


@pytest.fixture
def served(pair: Pair) -> Pair:
    """Both serve; what a test before has ended begins again."""
    if states(pair) != ("READY", "READY"):
        serve_together(pair, *PATIENT)
    return pair


def serve_together(pair: Pair, *fields: str) -> None:
    for machine in pair:
        machine.run("launcher", "down", "--all")
    leader, follower = pair
    for code, output in finish_all(leader.up(follower, *fields), follower.up(leader, *fields)):
        assert code == 0, output


def states(pair: Pair) -> tuple[str, ...]:
    return tuple(machine.status().get("state", "none") for machine in pair)


def wait_for(what: Callable[[], bool], pair: Pair) -> None:
    waiting = threading.Event()
    for _ in range(int(PATIENCE_SECONDS)):
        if what():
            return
        waiting.wait(1.0)
    pytest.fail(str([machine.status() for machine in pair]))


def wait_for_a_restart(pair: Pair, before: tuple[str, ...]) -> None:
    def restarted() -> bool:
        found = [machine.status() for machine in pair]
        return all(
            one["state"] == "READY" and one["run_id"] != run
            for one, run in zip(found, before, strict=True)
        )

    wait_for(restarted, pair)


def runs(pair: Pair) -> tuple[str, ...]:
    return tuple(machine.status()["run_id"] for machine in pair)


def assert_answers(leader: Machine) -> None:
    code, output = leader.run("clients", "ask", "What is 12 + 30?", "--no-thinking")
    assert code == 0, output
    assert "42" in output


def test_two_machines_answer_as_one(served: Pair) -> None:
    leader, follower = served
    assert_answers(leader)
    code, output = leader.run("clients", "ask", "--json", "Tell me about the sea.")
    assert code == 0, output
    assert json.loads(output)["acceptance"]["length"] > 1.5
    # Clients ask the first machine; the second one tells whoever asks it.
    code, output = follower.run("clients", "ask", "Hello")
    assert code != 0
    assert "machine 0" in output


@pytest.mark.parametrize("rank", [0, 1])
def test_the_group_comes_back_when_a_machine_loses_its_scheduler(served: Pair, rank: int) -> None:
    before = runs(served)
    served[rank].signal("sglang::scheduler", signal.SIGKILL)
    wait_for_a_restart(served, before)
    assert_answers(served[0])
    for machine in served:
        assert machine.status()["last_failure"]


def test_a_cable_that_is_out_for_a_while_costs_nothing_but_time(served: Pair) -> None:
    leader, follower = served
    before = [machine.pids("sglang::scheduler") for machine in served]
    follower.link("down")
    asked = leader.start("clients", "ask", "What is 12 + 30?", "--no-thinking")
    threading.Event().wait(CABLE_SECONDS)
    assert asked.poll() is None
    follower.link("up")
    code, output = finish(asked)
    assert (code, "42" in output) == (0, True), output
    assert [machine.pids("sglang::scheduler") for machine in served] == before
    assert states(served) == ("READY", "READY")


@pytest.mark.costly
def test_a_restart_on_either_machine_is_one_of_both(served: Pair) -> None:
    before = runs(served)
    code, output = served[1].run("launcher", "restart")
    assert code == 0, output
    wait_for_a_restart(served, before)
    assert_answers(served[0])


@pytest.mark.costly
def test_machine_0_waits_for_one_that_was_stopped(served: Pair) -> None:
    leader, follower = served
    code, output = follower.run("launcher", "down")
    assert code == 0, output
    wait_for(lambda: leader.status()["state"] == "STARTING", served)
    assert not leader.pids("sglang::scheduler")
    code, output = finish(follower.up(leader, *PATIENT))
    assert code == 0, output
    wait_for(lambda: states(served) == ("READY", "READY"), served)
    assert_answers(leader)


def test_a_stop_of_machine_0_stops_both(served: Pair) -> None:
    code, output = served[0].run("launcher", "down")
    assert code == 0, output
    wait_for(lambda: states(served) == ("STOPPED", "STOPPED"), served)
    for machine in served:
        assert not machine.pids("sglang")


def test_a_machine_that_does_not_come_is_named(pair: Pair) -> None:
    leader, follower = pair
    leader.run("launcher", "down")
    code, output = finish(leader.up(follower, "--dist-timeout-seconds", "3"))
    assert code == NodeMissingError.exit_code, output
    assert "missing: machine 1" in output
    code, output = finish(follower.up(leader, "--dist-timeout-seconds", "3"))
    assert code == NodeMissingError.exit_code, output
    assert "Machine 0 was not to be reached at 10.77.0.1:25000" in output


@pytest.mark.parametrize(
    "what",
    [
        "version",
        pytest.param("option", marks=pytest.mark.costly),
        pytest.param("model", marks=pytest.mark.costly),
    ],
)
def test_machines_that_differ_do_not_start(pair: Pair, tmp_path: Path, what: str) -> None:
    leader, follower = pair
    leader.run("launcher", "down")
    variables, arguments, told = {}, [], ""
    if what == "option":
        arguments = ["--max-running-requests", "7"]
        told = "--max-running-requests is 32 on machine 0 and 7 on machine 1"
    elif what == "version":
        other = tmp_path / "torch-1.0.0.dist-info"
        other.mkdir()
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0.0\n")
        variables = {"PYTHONPATH": str(tmp_path)}
        told = "and 1.0.0 on machine 1"
    else:
        folder = tmp_path / "model"
        shutil.copytree(model_path(), folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 12345.0}))
        arguments = ["--model-path", str(folder), "--served-model-name", "nano"]
        told = "the model is folder"
    starts = (leader.up(follower), follower.up(leader, *arguments, **variables))
    for code, output in finish_all(*starts):
        assert code == NodesDisagreeError.exit_code, output
        assert told in output
    for machine in pair:
        assert not machine.pids("sglang")


@pytest.mark.costly
def test_a_machine_that_stands_still_is_ended_with_the_other(pair: Pair) -> None:
    serve_together(pair, *IMPATIENT)
    before = runs(pair)
    pair[1].signal("sglang::scheduler", signal.SIGSTOP)
    wait_for_a_restart(pair, before)
    assert_answers(pair[0])
    for machine in pair:
        machine.run("launcher", "down", "--all")


@pytest.mark.costly
@pytest.mark.parametrize("rank", [0, 1])
def test_a_supervisor_that_is_killed_is_replaced(served: Pair, rank: int) -> None:
    machine, other = served[rank], served[1 - rank]
    before = machine.pids("sglang::scheduler")
    machine.signal("launcher supervise", signal.SIGKILL)
    code, output = finish(machine.up(other, *PATIENT))
    assert code == 0, output
    assert machine.pids("sglang::scheduler") == before
    assert_answers(served[0])
    # They still hear of each other.
    both = runs(served)
    other.signal("sglang::scheduler", signal.SIGKILL)
    wait_for_a_restart(served, both)
    assert_answers(served[0])
