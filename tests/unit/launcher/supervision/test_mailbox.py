"""The one place at which a supervisor waits."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from launcher.supervision.mailbox import Mailbox, Request, Timer


@dataclass
class Clock:
    """Goes as it is told."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_was_put_in_comes_out_in_order() -> None:
    box = Mailbox()
    box.put(Request.RESTART)
    box.put(Request.STOP)
    assert [box.next(), box.next()] == [Request.RESTART, Request.STOP]


def test_a_timer_rings_once_and_the_earliest_first() -> None:
    clock = Clock()
    box = Mailbox(clock=clock)
    box.set(Timer.KILL, 20)
    box.set(Timer.DRAIN, 10)
    clock.now += 30
    assert [box.next(), box.next()] == [Timer.DRAIN, Timer.KILL]
    box.put(Request.STOP)
    assert box.next() is Request.STOP


def test_a_timer_that_is_due_goes_before_what_waits() -> None:
    clock = Clock()
    box = Mailbox(clock=clock)
    for _ in range(1000):
        box.put(Request.STOP)
    box.set(Timer.START, 5)
    assert box.next() is Request.STOP
    clock.now += 5
    assert box.next() is Timer.START


def test_a_timer_that_was_cleared_does_not_ring() -> None:
    clock = Clock()
    box = Mailbox(clock=clock)
    box.set(Timer.START, 1)
    box.set(Timer.KILL, 1)
    box.clear(Timer.START)
    clock.now += 2
    assert box.next() is Timer.KILL
    box.set(Timer.KILL, 0)
    box.clear()
    box.put(Request.STOP)
    assert box.next() is Request.STOP


def test_it_beats_while_it_waits() -> None:
    beats = 0
    enough = threading.Event()

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 3:
            enough.set()
            box.put(Request.STOP)

    box = Mailbox(beat_seconds=0.01, beat=beat)
    assert box.next() is Request.STOP
    assert enough.is_set()


def test_a_timer_of_real_time_wakes_it() -> None:
    box = Mailbox()
    box.set(Timer.LOOK, 0.02)
    assert box.next() is Timer.LOOK
