"""In float32, speculation changes the speed and nothing else.

Also here, since each needs a server of its own anyway: `up` in the foreground with Ctrl-C, and a
server that wants a key.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import httpx
import pytest

from clients import AuthenticationError, ChatClient, Started
from launcher.config.server_config import ServerConfig
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.members import find_members
from tests.server.conftest import assert_nothing_is_left, in_foreground, record_of, server
from tests.server.greedy import PROMPT_TOKENS, PROMPTS, Greedy, greedy_texts


@pytest.fixture(scope="module")
def plain() -> Greedy:
    """Plain decoding, by a server in the foreground."""
    code, texts = in_foreground("plain", "--no-speculation", use=greedy_texts)
    assert code == 0
    assert record_of("plain").state == "STOPPED"
    assert_nothing_is_left("plain")
    return texts


def assert_is_whole(texts: Greedy) -> None:
    assert len(texts.token_ids) == len(PROMPTS) == 20
    assert {len(ids) for ids in texts.token_ids} == {PROMPT_TOKENS}
    # A model that says one token for ever would agree with anything; a few prompts ask for that.
    assert sum(len(set(ids)) > 4 for ids in texts.token_ids) >= 16


def test_plain_decoding_does_not_speculate(plain: Greedy) -> None:
    assert_is_whole(plain)
    assert plain.verify_rounds == 0


def test_a_chain_of_drafts_gives_the_same_text(plain: Greedy, eagle: RunRecord) -> None:
    drafted = greedy_texts(eagle)
    assert drafted.token_ids == plain.token_ids
    assert 0 < drafted.verify_rounds < drafted.tokens


def test_one_prompt_at_a_time_gives_the_same_text(plain: Greedy, eagle: RunRecord) -> None:
    assert greedy_texts(eagle, batch=1).token_ids == plain.token_ids


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "key"
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(32))
    return file


TREE = ("--speculative-eagle-topk", "4", "--speculative-num-draft-tokens", "8")


def test_a_tree_of_drafts_gives_the_same_text_behind_a_key(plain: Greedy, key_file: Path) -> None:
    key = key_file.read_text()
    admin_file = key_file.with_name("admin-key")
    admin_file.touch(mode=0o600)
    admin_file.write_text(secrets.token_hex(32))
    keys = ("--api-key-file", str(key_file), "--admin-key-file", str(admin_file))
    with server("tree", *TREE, *keys) as record:
        drafted = greedy_texts(record, api_key=key)
        assert drafted.token_ids == plain.token_ids
        assert 0 < drafted.verify_rounds < drafted.tokens

        assert_key_is_wanted_and_nowhere_to_be_read(record, key)
        assert_the_admin_key_ends_a_request(record, admin_file.read_text())
    assert not RunStore("tree").secrets_file.exists()


def assert_the_admin_key_ends_a_request(record: RunRecord, admin_key: str) -> None:
    with (
        ChatClient(server=record.name, admin_key=admin_key) as client,
        client.stream(
            "Go on", max_tokens=6000, thinking=False, extra={"ignore_eos": True}
        ) as stream,
    ):
        started = next(iter(stream))
        assert isinstance(started, Started)
        client.abort(started.request_id)
        reply = stream.reply()
    assert reply.finish_reason == "abort"
    assert reply.usage is not None
    assert reply.usage.completion_tokens < 6000


def _read_if_there(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def assert_key_is_wanted_and_nowhere_to_be_read(record: RunRecord, key: str) -> None:
    with ChatClient(server=record.name) as client:
        assert client.chat("Hello", max_tokens=4).model == "nano"
    with (
        ChatClient(record.base_url, api_key="wrong", model="nano") as stranger,
        pytest.raises(AuthenticationError),
    ):
        stranger.chat("Hello", max_tokens=4)
    # The user's key opens inference, not the admin routes.
    flushed = httpx.post(
        f"{record.base_url}/flush_cache", headers={"Authorization": f"Bearer {key}"}, timeout=30
    )
    assert flushed.status_code == httpx.codes.UNAUTHORIZED
    info = httpx.get(
        f"{record.base_url}/server_info", headers={"Authorization": f"Bearer {key}"}, timeout=30
    )
    assert info.status_code == httpx.codes.OK
    assert info.json()["port"] == int(record.base_url.rpartition(":")[2])
    assert info.json()["admin_api_key"] is info.json()["launch_command"] is None
    assert key not in info.text

    assert not RunStore(record.name).secrets_file.exists()
    assert record.server is not None
    # Every process of this machine, whosever it is: this one aside, which reads the key's file.
    seen_by_others = [
        content
        for file in ("cmdline", "environ")
        for process in Path("/proc").glob(f"[0-9]*/{file}")
        if (content := _read_if_there(process))
    ]
    assert find_members(record.server, record.run_id)
    log = record.log_file.read_text()
    # SGLang prints its arguments, keys included, unless the plugin takes them out.
    assert "'api_key': None, " in log
    assert "'admin_api_key': None, " in log
    for written in (log, RunStore(record.name).record_file.read_text(),
                    record.events_file.read_text()):  # fmt: skip
        assert key not in written
    assert not any(key.encode() in content for content in seen_by_others)
    state = [file for file in RunStore(record.name).folder.parent.rglob("*") if file.is_file()]
    assert len(state) >= 4
    assert not any(key.encode() in file.read_bytes() for file in state)


def test_the_record_holds_the_configuration_that_was_served(plain: Greedy) -> None:
    assert plain.tokens == len(PROMPTS) * PROMPT_TOKENS
    config = ServerConfig.model_validate(record_of("plain").config)
    assert config.speculative_algorithm is None
    assert config.dtype == "float32"
