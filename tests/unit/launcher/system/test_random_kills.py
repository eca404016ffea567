"""A tree of processes that is killed at random moments: none of it is left, nor what it shared.

25 rounds; SPECSERVE_RANDOM_KILLS sets another number of them.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import pytest

from launcher.engines.launch import Command, Launch
from launcher.state.store import RunStore
from launcher.supervision.journal import Journal
from launcher.supervision.mailbox import Mailbox
from launcher.supervision.notify import Notifier
from launcher.supervision.run.context import Dependencies, RunContext
from launcher.supervision.run.members import Members
from launcher.supervision.server.process import spawn
from launcher.system.members import adopt_orphans, find_members
from launcher.system.process import ProcessIdentity
from launcher.system.shared_memory import ROOT
from tests.unit.launcher.examples import make_config, make_record

ROUNDS = int(os.environ.get("SPECSERVE_RANDOM_KILLS", "25"))
SEED = 20261123
# Longer than the tree takes to grow, so that a kill also comes to one that is complete.
GROWTH_SECONDS = 0.25
# Of a complete tree.
SEGMENTS = 10

# Each process makes a segment of its own, as shm_open(3) does, and shares those of its ancestors.
# Between two steps of the growth there is a pause, so that kills come to half a tree.
TREE = """
import mmap, os, signal, sys, time

prefix, kept = sys.argv[1], []

def share(name):
    # Named last: what a process has opened and not yet mapped, nobody can tell from a file.
    unnamed, named = (f"/dev/shm/{one}{prefix}_{name}" for one in ("unnamed_", ""))
    descriptor = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    os.ftruncate(descriptor, 4096)
    kept.append(mmap.mmap(descriptor, 4096))
    os.close(descriptor)
    os.rename(unnamed, named)

def child(name):
    time.sleep(0.005)
    if os.fork():
        return False
    share(name)
    return True

def wait():
    while True:
        signal.pause()

share("leader")
if child("plain"):
    if child("grandchild"):
        wait()
    wait()
if child("deaf"):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    wait()
if child("parent"):
    if child("orphan"):
        wait()
    os._exit(0)
if child("session"):
    os.setsid()
    if child("session-child"):
        wait()
    wait()
if child("group"):
    os.setpgid(0, 0)
    wait()
if child("forker"):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        if os.fork() == 0:
            time.sleep(0.005)
            os._exit(0)
        time.sleep(0.002)
if os.fork() == 0:
    # Hands over to a child again and again; it shares what it was born with.
    while True:
        if os.fork():
            time.sleep(0.002)
            os._exit(0)
os.write(1, b"grown\\n")
wait()
"""


class Tree:
    """One tree, and the run that it is taken for."""

    def __init__(self, folder: Path) -> None:
        self.run_id = uuid4().hex[:12]
        self._prefix = f"specserve_kill_{self.run_id}"
        argv = (sys.executable, "-I", "-S", "-c", TREE, self._prefix)
        self._grown, writing = os.pipe()
        self.leader = spawn(
            Command(argv, MappingProxyType({})),
            run_id=self.run_id, cwd=folder, output=writing, die_with_parent=False,
        )  # fmt: skip
        os.close(writing)
        self.server = self._make_members(folder, argv)

    def _make_members(self, folder: Path, argv: tuple[str, ...]) -> Members:
        """The members of a run between start and end; what it starts and waits for is left out."""
        store = RunStore("tree", root=folder)
        store.create()
        record = make_record(folder, run_id=self.run_id, server=self.leader.identity)
        # Nobody listens on port 1, so nothing is waited for.
        launch = Launch(make_config(port=1), Command(argv, {}), {}, {}, detached=False)
        journal = Journal(store, lambda _: None, Notifier.from_environment({}))
        journal.begin(record, must_be_written=True)
        context = RunContext(launch, store, journal, Mailbox(), Dependencies(), self.run_id)
        return Members(context, self.leader.identity, ())

    def await_growth(self) -> None:
        assert os.read(self._grown, 100) == b"grown\n"
        # A grandchild may be slower than the leader.
        while len(self._segments()) < SEGMENTS:
            time.sleep(0.001)

    def members(self) -> list[ProcessIdentity]:
        return find_members(self.leader.identity, self.run_id)

    def end(self) -> list[str]:
        """End it as every run ends; returns what is left."""
        self.server.end()
        self.leader.wait()
        os.close(self._grown)
        return self._processes_left() + self._segments()

    def _segments(self) -> list[str]:
        return sorted(path.name for path in ROOT.glob(f"{self._prefix}_*"))

    def _processes_left(self) -> list[str]:
        """By run id or session, and not as the launcher finds them; zombies count as well."""
        left = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                in_session = os.getsid(int(entry.name)) == self.leader.identity.pid
                if in_session or self.run_id.encode() in (entry / "environ").read_bytes():
                    left.append(f"process {entry.name}")
        return left


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)  # noqa: S311  # no secret


@pytest.fixture(autouse=True)
def no_segment_outlives_its_test() -> Iterator[None]:
    before = set(ROOT.glob("*specserve_kill_*"))
    yield
    for path in set(ROOT.glob("*specserve_kill_*")) - before:
        path.unlink(missing_ok=True)


@pytest.mark.timeout(60 + 3 * ROUNDS)
def test_a_tree_that_is_ended_at_any_moment_leaves_nothing(
    tmp_path: Path, chance: random.Random
) -> None:
    adopt_orphans()
    left = []
    for number in range(ROUNDS):
        tree = Tree(tmp_path)
        time.sleep(chance.uniform(0.0, GROWTH_SECONDS))
        if found := tree.end():
            left.append((number, found))
    assert left == []


@pytest.mark.timeout(60 + 3 * ROUNDS)
def test_a_tree_whose_processes_are_killed_by_somebody_else_leaves_nothing(
    tmp_path: Path, chance: random.Random
) -> None:
    adopt_orphans()
    left = []
    for number in range(ROUNDS):
        tree = Tree(tmp_path)
        tree.await_growth()
        # As a supervisor does every few seconds: what the dead shared can be told by nobody.
        tree.server.look()
        # The leader more often than any other: its end is how a run mostly ends.
        more = chance.choice(([], [tree.leader.identity]))
        for victim in chance.sample(tree.members(), chance.randrange(1, 4)) + more:
            victim.send_signal(signal.SIGKILL)
            time.sleep(chance.choice((0.0, 0.002)))
        if found := tree.end():
            left.append((number, found))
    assert left == []
