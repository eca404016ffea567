"""Two supervisors of one model: stand-ins for the servers, real sockets between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import LauncherError, NodeMissingError, NodesDisagreeError, PortInUseError
from launcher.nodes.facts import NodeFacts
from launcher.serving import free_port
from launcher.state.events import Event, PhaseProgress, ServerCrashed, ServerFailed, ServerReady
from launcher.supervision.mailbox import Request
from launcher.supervision.supervisor import Outcome
from tests.unit.launcher.scenes import Scene

WAIT_SECONDS = 60.0


class Node(Scene):
    """One machine, whose supervisor runs in a thread of its own."""

    def __init__(self, folder: Path, rank: int, port: int, *behaviour: str, **fields: Any) -> None:
        folder = folder / str(rank)
        folder.mkdir(exist_ok=True)
        versions = {"sglang": fields.pop("version", "1")}
        self.facts = NodeFacts(rank=rank, nodes=2, versions=versions, model="m", arguments=())
        self.told = threading.Condition()
        self.outcome: Outcome | LauncherError | None = None
        super().__init__(
            folder,
            *behaviour,
            nnodes=2,
            node_rank=rank,
            tp_size=2,
            dist_init_addr=f"127.0.0.1:{port}",
            restart_delay_seconds=0.0,
            **{"restart": "on-failure", **fields},
        )
        self.thread = threading.Thread(target=self._supervise, daemon=True)

    def supervise(self, **options: Any) -> Any:
        """With what is told to the other machine."""
        object.__setattr__(self.launch, "nodes", self.facts)
        return super().supervise(**options)

    def _supervise(self) -> None:
        try:
            self.outcome = self.run()
        except LauncherError as error:
            self.outcome = error

    def react(self, event: Event) -> None:
        with self.told:
            self.told.notify_all()
        super().react(event)

    def wait_for(self, kind: type[Event], count: int = 1) -> None:
        with self.told:
            assert self.told.wait_for(lambda: len(self.of(kind)) >= count, timeout=WAIT_SECONDS), (
                self.events
            )

    def end(self) -> Outcome | LauncherError | None:
        self.thread.join(WAIT_SECONDS)
        assert not self.thread.is_alive(), self.events
        return self.outcome


@pytest.fixture
def port() -> int:
    # The one below it is the supervisors'.
    return free_port() + 1


@pytest.fixture
def begun() -> Iterator[list[Node]]:
    nodes: list[Node] = []
    yield nodes
    for node in nodes:
        node.supervisor.request(Request.STOP)
        node.supervisor.request(Request.STOP)
    for node in nodes:
        node.end()


def begin(begun: list[Node], *nodes: Node) -> None:
    for node in nodes:
        begun.append(node)
        node.thread.start()


def test_both_start_once_both_are_there_and_stop_with_machine_0(
    tmp_path: Path, port: int, begun: list[Node]
) -> None:
    leader, follower = (Node(tmp_path, rank, port, "serve") for rank in (0, 1))
    begin(begun, follower)
    follower.wait_for(PhaseProgress)
    assert follower.record.server is None
    begin(begun, leader)
    for node in (leader, follower):
        node.wait_for(ServerReady)
    leader.supervisor.request(Request.STOP)
    assert [node.end() for node in (leader, follower)] == [Outcome.STOPPED, Outcome.STOPPED]
    for node in (leader, follower):
        assert node.states == ["STARTING", "READY", "STOPPING", "STOPPED"]
        node.assert_nothing_is_left()


@pytest.mark.parametrize("broken", [0, 1])
def test_what_crashes_on_one_machine_starts_again_on_both(
    tmp_path: Path, port: int, begun: list[Node], broken: int
) -> None:
    crash = ("crash", str(tmp_path / "count"), "1", "3")
    nodes = [Node(tmp_path, rank, port, *(crash if rank == broken else ("serve",)))
             for rank in (0, 1)]  # fmt: skip
    begin(begun, *nodes)
    for node in nodes:
        node.wait_for(ServerReady, 2)
    other = nodes[1 - broken].of(ServerCrashed)
    assert [crash.cause for crash in other] == ["node-ended"]
    assert f"The server of machine {broken} ended" in other[0].problem


def test_machine_0_alone_counts_and_gives_up_for_both(
    tmp_path: Path, port: int, begun: list[Node]
) -> None:
    crash = ("crash", str(tmp_path / "count"), "9", "3")
    leader = Node(tmp_path, 0, port, *crash, restart_limit=2)
    follower = Node(tmp_path, 1, port, "serve", restart_limit=2)
    begin(begun, leader, follower)
    told = leader.end()
    assert isinstance(told, LauncherError)
    assert "failed 2 times in a row" in told.problem
    told = follower.end()
    assert isinstance(told, LauncherError)
    assert "Machine 0 has given up" in told.problem
    assert follower.record.state == "FATAL"


@pytest.mark.parametrize("asked", [0, 1])
def test_a_restart_is_one_of_both(tmp_path: Path, port: int, begun: list[Node], asked: int) -> None:
    nodes = [Node(tmp_path, rank, port, "serve") for rank in (0, 1)]
    begin(begun, *nodes)
    for node in nodes:
        node.wait_for(ServerReady)
    nodes[asked].supervisor.request(Request.RESTART)
    for node in nodes:
        node.wait_for(ServerReady, 2)
        assert not node.of(ServerCrashed)


def test_machine_0_waits_for_one_that_was_stopped(
    tmp_path: Path, port: int, begun: list[Node]
) -> None:
    leader, follower = (Node(tmp_path, rank, port, "serve") for rank in (0, 1))
    begin(begun, leader, follower)
    for node in (leader, follower):
        node.wait_for(ServerReady)
    follower.supervisor.request(Request.STOP)
    assert follower.end() is Outcome.STOPPED
    returned = Node(tmp_path, 1, port, "serve")
    begin(begun, returned)
    leader.wait_for(ServerReady, 2)
    returned.wait_for(ServerReady)
    assert not leader.of(ServerCrashed)


@pytest.mark.parametrize("rank", [0, 1])
def test_who_does_not_come_is_named(
    tmp_path: Path, port: int, begun: list[Node], rank: int
) -> None:
    node = Node(tmp_path, rank, port, "serve", dist_timeout_seconds=1)
    begin(begun, node)
    told = node.end()
    assert isinstance(told, NodeMissingError)
    assert ("missing: machine 1" if rank == 0 else "Machine 0 was not") in told.problem
    assert node.record.server is None


def test_machines_that_differ_start_nothing(tmp_path: Path, port: int, begun: list[Node]) -> None:
    nodes = [Node(tmp_path, rank, port, "serve", version=str(rank)) for rank in (0, 1)]
    begin(begun, *nodes)
    for node in nodes:
        told = node.end()
        assert isinstance(told, NodesDisagreeError)
        assert told.evidence == ("sglang is 0 on machine 0 and 1 on machine 1",)
        assert node.record.server is None
        assert isinstance(node.events[-1], ServerFailed)


def test_a_wait_can_be_stopped(tmp_path: Path, port: int, begun: list[Node]) -> None:
    leader = Node(tmp_path, 0, port, "serve")
    begin(begun, leader)
    leader.wait_for(PhaseProgress)
    leader.supervisor.request(Request.STOP)
    assert leader.end() is Outcome.CANCELLED
    assert leader.states == ["STARTING", "STOPPING", "STOPPED"]


def test_a_port_of_the_supervisors_that_is_taken_is_told(
    tmp_path: Path, port: int, begun: list[Node]
) -> None:
    first, second = (Node(tmp_path / name, 0, port, "serve") for name in _folders(tmp_path))
    begin(begun, first)
    first.wait_for(PhaseProgress)
    begin(begun, second)
    assert isinstance(second.end(), PortInUseError)


def _folders(folder: Path) -> tuple[str, str]:
    for name in ("one", "other"):
        (folder / name).mkdir()
    return "one", "other"
