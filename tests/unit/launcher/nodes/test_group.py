"""Supervisors of several machines find each other, over real sockets."""

from __future__ import annotations

import contextlib
import queue
import socket
from collections.abc import Iterator

import pytest

from launcher.nodes import events, messages
from launcher.nodes.events import NodesEvent
from launcher.nodes.facts import NodeFacts
from launcher.nodes.follower import Follower
from launcher.nodes.leader import Leader
from launcher.serving import free_port

HOST = "127.0.0.1"
WAIT_SECONDS = 20.0


class Heard:
    """What one machine hears, in order."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[NodesEvent] = queue.SimpleQueue()

    def __call__(self, event: NodesEvent) -> None:
        self._events.put(event)

    def next(self, seconds: float = WAIT_SECONDS) -> NodesEvent:
        """The next event that is not about who is missing."""
        while True:
            event = self._events.get(timeout=seconds)
            if not isinstance(event, events.Joined):
                return event

    def until_missing(self, *ranks: int) -> None:
        """Read on until just these are missing."""
        while True:
            event = self._events.get(timeout=WAIT_SECONDS)
            if isinstance(event, events.Joined) and event.missing == ranks:
                return


def facts(rank: int, nodes: int = 3, **fields: object) -> NodeFacts:
    made = NodeFacts(rank=rank, nodes=nodes, versions={"sglang": "1"}, model="m", arguments=())
    return made.model_copy(update=fields)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def made(port: int) -> Iterator[tuple[Leader, Follower, Follower]]:
    leader = Leader(HOST, port, facts(0))
    followers = Follower(HOST, port, facts(1)), Follower(HOST, port, facts(2))
    yield leader, *followers
    for one in (*followers, leader):
        one.close(None)


Group3 = tuple[Leader, Follower, Follower]


def begin(made: Group3) -> tuple[Heard, Heard, Heard]:
    heard = Heard(), Heard(), Heard()
    leader, second, third = made
    leader.meet(heard[0])
    second.meet(heard[1])
    third.meet(heard[2])
    for post in heard:
        assert isinstance(post.next(), events.AllHere)
    return heard


def test_all_begin_once_all_are_there(made: Group3) -> None:
    leader, second, third = made
    heard = Heard(), Heard(), Heard()
    second.meet(heard[1])
    leader.meet(heard[0])
    heard[0].until_missing(2)
    heard[1].until_missing(2)
    third.meet(heard[2])
    for post in heard:
        assert isinstance(post.next(), events.AllHere)


def test_an_end_is_heard_by_the_others_and_all_begin_again(made: Group3) -> None:
    heard = begin(made)
    leader, second, third = made
    second.tell_ended("it broke")
    assert heard[0].next() == events.NodeEnded(1, "it broke")
    leader.tell_ended("machine 1 ended")
    assert heard[2].next() == events.NodeEnded(0, "machine 1 ended")
    # In any order.
    again = Heard(), Heard(), Heard()
    third.meet(again[2])
    leader.meet(again[0])
    again[0].until_missing(1)
    second.meet(again[1])
    for post in again:
        assert isinstance(post.next(), events.AllHere)


def test_a_stop_on_machine_0_reaches_all_and_comes_back_from_none(made: Group3) -> None:
    heard = begin(made)
    leader, second, third = made
    leader.tell_stopping(again=False)
    for post, one in zip(heard[1:], (second, third), strict=True):
        assert post.next() == events.StopAsked(again=False)
        # Its own stop, which follows, is no news.
        one.tell_stopping(again=False)
        one.tell_moving()
    assert isinstance(heard[0].next(), events.Moved)


@pytest.mark.parametrize("again", [True, False])
def test_a_stop_elsewhere_makes_machine_0_begin_anew(made: Group3, *, again: bool) -> None:
    heard = begin(made)
    made[1].tell_stopping(again=again)
    assert heard[0].next() == events.StopAsked(again=True)


def test_who_waits_while_the_others_serve_has_no_server(made: Group3, port: int) -> None:
    heard = begin(made)
    made[1].close(None)
    returned = Follower(HOST, port, facts(1))
    returned.meet(Heard())
    event = heard[0].next()
    assert isinstance(event, events.NodeEnded)
    assert event.rank == 1
    returned.close(None)


def test_a_supervisor_that_is_replaced_hears_the_others_again(made: Group3, port: int) -> None:
    heard = begin(made)
    leader, second, _ = made
    leader.close(None)
    assert heard[1].next() == events.StopAsked(again=False)
    replaced = Leader(HOST, port, facts(0))
    post = Heard()
    replaced.resume(post)
    second.meet(Heard())
    event = post.next()
    assert isinstance(event, events.NodeEnded)
    assert event.rank == 1
    replaced.close(None)


def test_a_server_of_a_start_that_is_over_is_told_so(port: int) -> None:
    served, leader = Follower(HOST, port, facts(1, 2)), Leader(HOST, port, facts(0, 2))
    post = Heard()
    served.resume(post)
    leader.meet(Heard())
    event = post.next()
    assert isinstance(event, events.NodeEnded)
    assert event.rank == 0
    served.close(None)
    leader.close(None)


def test_a_machine_that_works_keeps_the_others_from_hanging(made: Group3) -> None:
    heard = begin(made)
    made[1].tell_moving()
    assert isinstance(heard[0].next(), events.Moved)
    assert isinstance(heard[2].next(), events.Moved)


@pytest.mark.parametrize("leaves", [0, 1])
def test_nobody_starts_with_one_that_is_not_ready_any_more(port: int, leaves: int) -> None:
    leader, follower = Leader(HOST, port, facts(0, 2)), Follower(HOST, port, facts(1, 2))
    first, other = (leader, follower) if leaves == 0 else (follower, leader)
    early = Heard()
    first.meet(early)
    first.leave()
    heard = Heard()
    other.meet(heard)
    again = Heard()
    first.meet(again)
    for post in (heard, again):
        assert isinstance(post.next(), events.AllHere)
    follower.close(None)
    leader.close(None)


def test_what_machine_0_said_last_is_heard_at_the_next_meeting(made: Group3) -> None:
    heard = begin(made)
    made[0].close("it crashed five times")
    assert isinstance(heard[1].next(), events.LeaderGaveUp)
    again = Heard()
    made[1].meet(again)
    assert again.next() == events.LeaderGaveUp("it crashed five times")


def test_a_stop_that_is_said_twice_is_one_wish(made: Group3) -> None:
    heard = begin(made)
    made[0].tell_stopping(again=False)
    made[0].close(None)
    assert heard[1].next() == events.StopAsked(again=False)
    with pytest.raises(queue.Empty):
        heard[1].next(seconds=1.0)


def test_a_restart_that_is_told_to_one_that_waits_is_forgotten_with_the_start(port: int) -> None:
    leader, follower = Leader(HOST, port, facts(0, 2)), Follower(HOST, port, facts(1, 2))
    leader.resume(Heard())
    waits = Heard()
    follower.meet(waits)
    leader_heard = Heard()
    leader.resume(leader_heard)
    assert isinstance(leader_heard.next(), events.NodeEnded)
    leader.tell_stopping(again=True)
    leader.meet(leader_heard)
    assert isinstance(waits.next(), events.AllHere)
    follower.tell_stopping(again=False)
    assert isinstance(leader_heard.next(), events.AllHere)
    assert leader_heard.next() == events.StopAsked(again=True)
    follower.close(None)
    leader.close(None)


@pytest.mark.parametrize(
    "differs",
    [
        {"model": "n"},
        # More than a message takes.
        {"arguments": tuple((f"--option-{number}", "1") for number in range(100))},
    ],
    ids=["one", "a hundred"],
)
def test_machines_that_differ_are_told_so(port: int, differs: dict[str, object]) -> None:
    leader, other = Leader(HOST, port, facts(0, 2)), Follower(HOST, port, facts(1, 2, **differs))
    heard = Heard(), Heard()
    leader.meet(heard[0])
    other.meet(heard[1])
    for post in heard:
        assert isinstance(post.next(), events.Disagreed)
    other.close(None)
    leader.close(None)


def test_machine_0_says_why_it_gives_up(made: Group3) -> None:
    heard = begin(made)
    made[0].close("it crashed five times")
    assert heard[1].next() == events.LeaderGaveUp("it crashed five times")


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x80\x04\x95",
        b"x" * 200_000,
        messages.encode(messages.Waiting()),
        messages.encode(messages.Stopping(again=False)),
    ],
)
def test_a_stranger_changes_nothing(port: int, said: bytes) -> None:
    leader, follower = Leader(HOST, port, facts(0, 2)), Follower(HOST, port, facts(1, 2))
    heard = Heard()
    leader.meet(heard)
    with socket.create_connection((HOST, port)) as stranger:
        stranger.settimeout(WAIT_SECONDS)
        stranger.sendall(said)
        if not said.endswith(b"\n"):
            stranger.shutdown(socket.SHUT_WR)
        # It is reset where what it still had to say was not read.
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(1) == b""
    follower.meet(Heard())
    assert isinstance(heard.next(), events.AllHere)
    follower.close(None)
    leader.close(None)
