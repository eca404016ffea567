"""Two nano servers behind the gateway: one address, one key, and no request lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from benchmarks.selfcheck.fleet.faults import kill_gateway, kill_scheduler
from benchmarks.selfcheck.fleet.load import Asked, load
from benchmarks.selfcheck.fleet.run import fleet_port
from clients import (
    AuthenticationError,
    ChatClient,
    ChatReply,
    Restarted,
    RetryPolicy,
    StreamEvent,
)
from launcher.errors import FleetError, RollError
from launcher.fleet.fleet_file import read_fleet_file
from launcher.fleet.layout import gateway_name, replica_name
from launcher.fleet.store import FleetStore
from launcher.fleet.view import NOTHING_TOLD, MemberView, view
from launcher.nano.folder import model_path
from launcher.state.store import RunStore
from tests.server.conftest import assert_nothing_is_left, record_of, run_cli

NAME = "pair"
KEY = "key-of-the-fleets-clients-0123456789"
PATIENCE_SECONDS = 300.0
MEMBERS = (gateway_name(NAME), replica_name(NAME, 0), replica_name(NAME, 1))


def fleet_file(folder: Path, port: int, key_file: Path, **server: Any) -> Path:
    file = folder / "fleet.yaml"
    content = {
        "name": NAME,
        "replicas": 2,
        "server": {"preset": "nano", "api_key_file": str(key_file), "stand_by": False, **server},
        "gateway": {"port": port, "policy": "round_robin"},
    }
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    key_file = folder / "key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    return fleet_file(folder, fleet_port(), key_file)


@pytest.fixture(scope="module")
def url(file: Path) -> Iterator[str]:
    try:
        assert run_cli("fleet", "up", str(file)) == 0
        yield f"http://127.0.0.1:{read_fleet_file(file).gateway.port}"
    finally:
        assert run_cli("fleet", "down", "--name", NAME) == 0
        for member in MEMBERS:
            assert_nothing_is_left(member)


def members() -> list[MemberView]:
    return view(FleetStore(NAME))


def wait_until_well() -> None:
    waiting = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / 0.2)):
        if all(member.is_well for member in members()):
            return
        waiting.wait(0.2)
    pytest.fail(str(members()))


def ask_many(url: str, count: int) -> list[Asked]:
    """Requests, none of which is ever sent twice: what hides behind a repetition shows."""
    once = RetryPolicy(retries=0)
    return asyncio.run(load(url, requests=count, at_once=4, api_key=KEY, retry=once))


@contextlib.contextmanager
def under_load(url: str) -> Iterator[list[Asked]]:
    """Requests for as long as the block runs; what became of them is whole after it."""
    asked: list[Asked] = []
    ended = threading.Event()

    def keep_asking() -> None:
        while not ended.is_set():
            asked.extend(ask_many(url, 20))

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        thread.join()


def test_one_address_serves_what_both_do(url: str) -> None:
    with ChatClient(url, api_key=KEY) as client:
        replies = {client.chat("What is 12 + 30?", thinking=False).content for _ in range(4)}
        assert client.models() == ("nano",)
    assert len(replies) == 1
    found = members()
    assert [member.role for member in found] == ["gateway", "replica", "replica"]
    assert all(member.is_well for member in found)
    assert run_cli("fleet", "status", "--name", NAME) == 0


def test_each_server_tells_of_its_own_work(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    ask_many(url, 8)
    capfd.readouterr()
    assert run_cli("fleet", "status", "--name", NAME, "--json") == 0
    gateway, *servers = json.loads(capfd.readouterr().out)["members"]
    assert gateway["figures"] == asdict(NOTHING_TOLD)
    for server in servers:
        assert server["figures"]["running_requests"] == 0
        assert server["figures"]["waiting_requests"] == 0
        # 3 draft steps: no more than 4 tokens for each verify step.
        assert 1.0 <= server["figures"]["acceptance"]["since_start"] <= 4.0


def test_without_the_key_there_is_no_answer(url: str) -> None:
    client = ChatClient(url, api_key="another", retry=RetryPolicy(retries=0))
    with client, pytest.raises(AuthenticationError):
        client.chat("Hello", model="nano")


def test_no_list_of_processes_and_no_record_has_a_key(url: str) -> None:
    assert url
    kept = [RunStore(name) for name in MEMBERS]
    admin_keys = [store.admin_key_file.read_text().strip() for store in kept]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            shown = " ".join(process.cmdline())
            assert not any(key in shown for key in (KEY, *admin_keys))
    for store in kept:
        text = store.record_file.read_text() + store.log_file.read_text(errors="replace")
        assert not any(key in text for key in (KEY, *admin_keys))


def test_a_fleet_that_runs_is_left_as_it_is(
    url: str, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert url
    before = [record_of(name).run_id for name in MEMBERS]
    assert run_cli("fleet", "up", str(file), "--json") == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["started"] == []
    assert [record_of(name).run_id for name in MEMBERS] == before


@pytest.mark.parametrize("strike", [kill_scheduler, kill_gateway])
def test_what_had_no_token_yet_is_answered_by_somebody(url: str, strike: Any) -> None:
    def once(ended: int) -> None:
        if ended == 6:
            strike(NAME)

    asked = asyncio.run(load(url, requests=24, at_once=4, api_key=KEY, done=once))
    assert len(asked) == 24
    assert [one for one in asked if one.outcome == "lost"] == []
    wait_until_well()


def test_a_stream_that_its_server_cuts_begins_anew_on_another(url: str) -> None:
    wait_until_well()
    under_way = threading.Barrier(3, timeout=PATIENCE_SECONDS)
    seen: list[list[StreamEvent]] = []
    replies: list[ChatReply] = []

    def read() -> None:
        events: list[StreamEvent] = []
        retry = RetryPolicy(retries=4, repeat_cut=True)
        # Under way for as long as it takes to kill a process: the model does not end it itself.
        with (
            ChatClient(url, api_key=KEY, model="nano", retry=retry) as client,
            client.stream(
                "Count from 1.", max_tokens=1500, temperature=0, extra={"ignore_eos": True}
            ) as stream,
        ):
            for event in stream:
                events.append(event)
                if len(events) == 3:
                    under_way.wait()
            replies.append(stream.reply())
        seen.append(events)

    # By turns, so that one of two is on the server that fails.
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    under_way.wait()
    kill_scheduler(NAME)
    for reader in readers:
        reader.join()
    restarts = [[event for event in events if isinstance(event, Restarted)] for events in seen]
    assert sorted(map(len, restarts)) == [0, 1]
    for reply in replies:
        assert reply.usage is not None
        assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 1500)
    wait_until_well()


@pytest.mark.costly
def test_a_roll_under_load_loses_nothing(url: str, file: Path) -> None:
    before = [record_of(name).run_id for name in MEMBERS]
    with under_load(url) as asked:
        assert run_cli("fleet", "roll", str(file)) == 0
    assert {one.outcome for one in asked} == {"answered"}
    after = [record_of(name).run_id for name in MEMBERS]
    assert after[0] == before[0]
    assert not set(after[1:]) & set(before[1:])
    wait_until_well()


@pytest.mark.costly
def test_a_server_more_and_two_less_lose_no_request(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    added = replica_name(NAME, 2)
    for count, started, stopped in ((3, [added], []), (1, [], [added, MEMBERS[2]])):
        capfd.readouterr()
        with under_load(url) as asked:
            assert run_cli("fleet", "scale", str(count), "--name", NAME, "--json") == 0
        done = json.loads(capfd.readouterr().out.splitlines()[-1])
        assert (done["started"], done["stopped"]) == (started, stopped)
        assert {one.outcome for one in asked} == {"answered"}
        # The gateway has taken up the new one by the end of the command.
        assert run_cli("fleet", "status", "--name", NAME) == 0
        assert len(members()) == 1 + count
    assert_nothing_is_left(added)
    assert run_cli("fleet", "scale", "2", "--name", NAME) == 0
    assert run_cli("fleet", "status", "--name", NAME) == 0


@pytest.mark.costly
def test_a_roll_to_a_model_that_answers_differently_goes_back(
    url: str, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ChatClient(url, api_key=KEY) as client:
        before = client.chat("What is 12 + 30?", thinking=False).content
    other = tmp_path / "other"
    shutil.copytree(model_path(), other)
    weights = load_file(other / "model.safetensors")
    torch.manual_seed(0)
    changed = {
        name: value + 0.02 * torch.randn_like(value.float()).to(value.dtype)
        for name, value in weights.items()
    }
    save_file(changed, other / "model.safetensors", metadata={"format": "pt"})
    fleet = read_fleet_file(file)
    worse = fleet_file(
        tmp_path, fleet.gateway.port, Path(fleet.server["api_key_file"]),
        model_path=str(other), served_model_name="nano",
    )  # fmt: skip
    capfd.readouterr()
    assert run_cli("fleet", "roll", str(worse)) == RollError.exit_code
    assert "answers differently" in capfd.readouterr().err
    wait_until_well()
    with ChatClient(url, api_key=KEY) as client:
        assert client.chat("What is 12 + 30?", thinking=False).content == before
    assert RunStore(replica_name(NAME, 0)).read() is not None
    assert record_of(replica_name(NAME, 0)).read_config().model_path == str(model_path())


def test_a_fleet_that_nobody_started_is_named() -> None:
    assert run_cli("fleet", "status", "--name", "nobody") == FleetError.exit_code
