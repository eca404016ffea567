"""Every state x every process x every signal: `status` stays true, `down` and `up` work.

The cases are generated. Each has a server of its own, with the launcher's real processes; those of
one state run side by side, since they mostly wait. SPECSERVE_WALK=all adds the signals that come to
the same: SIGINT and SIGHUP to what does not handle them.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from launcher.cli.running.servers import _note
from launcher.system.proc_stat import read_stat
from tests.unit.launcher.supervision.walk.scene import Task, WalkError, WalkScene, Zygote

AT_ONCE = 8
WHOLE = os.environ.get("SPECSERVE_WALK") == "all"
DEATHS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
Reach = Callable[[WalkScene], Task | None]


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    started = Zygote(tmp_path_factory.mktemp("zygote"))
    yield started
    started.close()


# How a server comes to each state. What is returned is the process that watches, if there is one.


def held_at(step: str, how: str) -> Reach:
    """STARTING, at a step of the start."""
    lines = {"import": "", "load": "", "cache": "Load weight", "port": "KV Cache", "token": "ready"}

    def reach(scene: WalkScene) -> Task | None:
        scene.tell(f"hold-{step}")
        task = scene.do(how)
        scene.until(lambda: bool(scene.processes()), "a process")
        scene.until(lambda: lines[step] in scene.last_line(), f"the step before {step}")
        # What nobody has seen yet, nobody can take back.
        scene.until(lambda: bool(scene.known().segments), "a record of the shared memory")
        return task if how == "follow" else None

    return reach


def ready(scene: WalkScene) -> None:
    scene.do("supervise")
    scene.until_state("READY")


def unhealthy(scene: WalkScene) -> None:
    ready(scene)
    scene.tell("stall")
    scene.until_state("UNHEALTHY")


def draining(scene: WalkScene) -> Task:
    ready(scene)
    scene.tell("inflight")
    task = scene.do("down")
    scene.until_state("STOPPING")
    return task


def aborting(scene: WalkScene) -> Task:
    """The drain is over, and what is in flight does not heed the abort."""
    scene.tell("deaf")
    return draining(scene)


def killing(scene: WalkScene) -> Task:
    """Its processes are being frozen, to be killed."""
    task = aborting(scene)
    server = scene.known().server
    assert server is not None

    def is_frozen() -> bool:
        try:
            return read_stat(server.pid).state in {"T", "Z"}
        except OSError:
            return True

    while not is_frozen():
        pass
    return task


def backoff(scene: WalkScene) -> None:
    ready(scene)
    scene.tell("broken")
    server = scene.known().server
    assert server is not None
    server.send_signal(signal.SIGKILL)
    scene.until_state("BACKOFF")


def restarting(scene: WalkScene) -> None:
    """STOPPING in order to start again, with a request in flight."""
    ready(scene)
    scene.tell("inflight", "deaf")
    scene.known().supervisor.send_signal(signal.SIGUSR1)
    scene.until_state("STOPPING")


def starting_again(scene: WalkScene) -> None:
    """STARTING for the second time."""
    ready(scene)
    before = scene.known().run_id
    scene.tell("hold-cache")
    scene.known().supervisor.send_signal(signal.SIGUSR1)
    scene.until(
        lambda: scene.known().run_id != before and bool(scene.known().segments),
        "the second start",
    )


SLOW_DRAIN = {"drain_timeout_seconds": 1.5}
NO_DRAIN = {"drain_timeout_seconds": 0.0}
STATES: dict[str, tuple[Reach, dict[str, Any]]] = {
    **{
        f"starting, before {step}": (held_at(step, "supervise"), {})
        for step in ("import", "load", "cache", "port", "token")
    },
    "ready": (ready, {}),
    "unhealthy": (unhealthy, {}),
    "stopping, draining": (draining, SLOW_DRAIN),
    "stopping, aborting": (aborting, NO_DRAIN | {"stop_timeout_seconds": 1.5}),
    "stopping, killing": (killing, NO_DRAIN | {"stop_timeout_seconds": 0.2}),
    "backoff": (backoff, {"restart_delay_seconds": 600.0, "restart_max_delay_seconds": 600.0}),
    "restarting": (restarting, SLOW_DRAIN),
    "starting again": (starting_again, {}),
}


def supervisor(scene: WalkScene) -> list[int]:
    return [scene.known().supervisor.pid]


def collector(scene: WalkScene) -> list[int]:
    return scene.collectors()


def leader(scene: WalkScene) -> list[int]:
    server = scene.known().server
    return [server.pid] if server else []


def member(scene: WalkScene) -> list[int]:
    try:
        return [scene.member().pid]
    except WalkError:
        return []


def everything(scene: WalkScene) -> list[int]:
    """As an administrator does who is in a hurry, or the kernel for a whole control group."""
    return [*supervisor(scene), *scene.collectors(), *scene.processes()]


VICTIMS = {
    "supervisor": supervisor,
    "collector": collector,
    "server": leader,
    "scheduler": member,
    "all": everything,
}


def run_cases(
    zygote: Zygote, folder: Path, cases: dict[str, Callable[[WalkScene], None]], **fields: Any
) -> None:
    """Run cases side by side; each is what it does with a scene of its own."""

    def run(number: int, name: str, act: Callable[[WalkScene], None]) -> str | None:
        scene = WalkScene(zygote, folder / str(number), detached="foreground" not in name, **fields)
        try:
            act(scene)
        except Exception as error:  # noqa: BLE001  # told with its case, and the others go on
            return f"{name}: {type(error).__name__}: {error}"
        finally:
            scene.end()
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda one: run(one[0], *one[1]), enumerate(cases.items())))
    wrong = [one for one in found if one]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)


def strike(reach: Reach, victim: str, number: signal.Signals) -> Callable[[WalkScene], None]:
    def act(scene: WalkScene) -> None:
        task = reach(scene)
        for pid in VICTIMS[victim](scene):
            _kill(pid, number)
        scene.check_status()
        scene.untell("broken", "stall")
        scene.check_down()
        if task is not None:
            end = task.wait()
            # Whoever else ends what he stops, it is stopped.
            if task.file.stem.startswith("down") and "ok" not in end:
                raise WalkError(f"the first down: {end}")
        scene.check_up()

    return act


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.mark.parametrize("state", STATES)
def test_whoever_dies_in_whichever_state_nothing_is_left(
    state: str, zygote: Zygote, tmp_path: Path
) -> None:
    reach, fields = STATES[state]
    cases = {
        f"{state}, {victim}, {number.name}": strike(reach, victim, number)
        for victim in VICTIMS
        for number in (DEATHS if WHOLE or victim == "supervisor" else DEATHS[:2])
    }
    # In the foreground the server goes with its launcher.
    cases |= {
        f"{state}, foreground, {number.name}": strike(reach, "supervisor", number)
        for number in (DEATHS if WHOLE else DEATHS[:2])
    }
    run_cases(zygote, tmp_path, cases, **fields)


def strike_watcher(reach: Reach, number: signal.Signals) -> Callable[[WalkScene], None]:
    def act(scene: WalkScene) -> None:
        task = reach(scene)
        assert task is not None
        task.send(number)
        if number is signal.SIGSTOP:
            scene.check_status()
            task.send(signal.SIGCONT)
        scene.check_status()
        scene.check_down()
        task.wait()
        scene.check_up()

    return act


def following(scene: WalkScene) -> Task:
    """Until the start has begun: a `down` before that finds nothing to stop, and it goes on."""
    task = scene.do("follow")
    scene.until(scene.is_locked, "the start")
    return task


WATCHED = {
    "following, before the server": (following, {}),
    **{
        f"following, before {step}": (held_at(step, "follow"), {})
        for step in ("import", "cache", "token")
    },
    "down, draining": STATES["stopping, draining"],
    "down, aborting": STATES["stopping, aborting"],
    "down, killing": STATES["stopping, killing"],
}


@pytest.mark.parametrize("kind", ["following", "down"])
def test_whoever_watches_and_dies_or_stands_still_changes_nothing(
    kind: str, zygote: Zygote, tmp_path: Path
) -> None:
    for index, (state, (reach, fields)) in enumerate(WATCHED.items()):
        if state.startswith(kind):
            cases = {
                f"{state}, {number.name}": strike_watcher(reach, number)
                for number in (*DEATHS, signal.SIGSTOP)
            }
            run_cases(zygote, tmp_path / str(index), cases, **fields)


def test_a_server_that_is_not_recorded_yet_is_found(zygote: Zygote, tmp_path: Path) -> None:
    """Its supervisor is killed between the start of its process and the record of that."""

    def act(scene: WalkScene) -> None:
        scene.tell("hold-load")
        scene.do("supervise", trap="unrecorded")
        scene.until(lambda: len(scene.processes()) > 1, "the server's processes")
        scene.known().supervisor.send_signal(signal.SIGKILL)
        scene.check_status()
        scene.check_down()
        scene.check_up()

    run_cases(zygote, tmp_path, {"unrecorded": act})


@pytest.mark.parametrize("when", ["ready", "stopping"])
def test_an_orphan_is_drained_and_its_requests_aborted(
    when: str, zygote: Zygote, tmp_path: Path
) -> None:
    """As its supervisor would: it ends by itself, not by SIGKILL, and with its own admin key."""

    def act(scene: WalkScene) -> None:
        ready(scene)
        scene.tell("inflight")
        first = scene.do("down") if when == "stopping" else None
        if first is not None:
            scene.until_state("STOPPING")
        scene.known().supervisor.send_signal(signal.SIGKILL)
        scene.until_state("ORPHANED", "STOPPING")
        scene.check_down()
        if first is not None and "ok" not in (end := first.wait()):
            raise WalkError(f"the first down: {end}")
        if not (scene.control / "ended-itself").exists():
            raise WalkError("it was killed")

    run_cases(zygote, tmp_path, {when: act}, drain_timeout_seconds=0.3, stop_timeout_seconds=8.0)


def test_one_that_took_an_orphan_over_aborts_with_its_admin_key(
    zygote: Zygote, tmp_path: Path
) -> None:
    def act(scene: WalkScene) -> None:
        ready(scene)
        scene.known().supervisor.send_signal(signal.SIGKILL)
        scene.until_state("ORPHANED")
        follower = scene.do("adopt")
        scene.until_state("READY")
        scene.tell("inflight")
        scene.check_down()
        follower.wait()
        if not (scene.control / "ended-itself").exists():
            raise WalkError("it was killed")

    run_cases(zygote, tmp_path, {"": act}, drain_timeout_seconds=0.3, stop_timeout_seconds=8.0)


def test_down_wakes_a_supervisor_that_stands_still(zygote: Zygote, tmp_path: Path) -> None:
    def act(scene: WalkScene) -> None:
        ready(scene)
        scene.known().supervisor.send_signal(signal.SIGSTOP)
        scene.until(scene.known().supervisor.is_stopped, "a supervisor that stands still")
        note = _note(scene.known())
        if note is None or "kill -CONT" not in note:
            raise WalkError(f"status says nothing of it: {note}")
        scene.check_down()
        scene.check_up()

    run_cases(zygote, tmp_path, {"": act})
