"""The run record and what lies beside it."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import string
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.errors import AlreadyRunningError, ForeignStateError, InvalidValueError, StateError
from launcher.state.paths import servers_root
from launcher.state.record import RunRecord
from launcher.state.running import already_running
from launcher.state.states import ServerState
from launcher.state.store import RunStore, list_stores
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import SECRET, dead_process, make_record

if TYPE_CHECKING:
    from collections.abc import Iterator


# What `launcher.config.keys` lets through.
BEARER_TOKENS = st.text(string.ascii_letters + string.digits + "._~+/=-", min_size=1)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore("default", root=tmp_path / "servers")
    store.create()
    return store


def this_process() -> ProcessIdentity:
    return ProcessIdentity.of(os.getpid())


# --- names and folders -------------------------------------------------------------------------


def test_servers_live_under_the_state_folder_of_the_user(tmp_path: Path) -> None:
    assert servers_root() == tmp_path / "xdg_state_home" / "specserve" / "servers"
    assert RunStore("a").folder == servers_root() / "a"


def test_looking_creates_nothing() -> None:
    assert RunStore("a").read() is None
    assert list_stores() == []

    assert not servers_root().exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".a", "a\n", "a b", "ä", "a" * 65])
def test_a_name_that_is_no_plain_word_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match="is not valid"):
        RunStore(name)


def test_each_file_has_its_place(store: RunStore, tmp_path: Path) -> None:
    folder = tmp_path / "servers" / "default"

    assert {
        store.record_file: "run.json",
        store.events_file: "events.jsonl",
        store.log_file: "server.log",
        store.supervisor_log_file: "supervisor.log",
        store.secrets_file: "secrets.yaml",
    } == {
        folder / name: name
        for name in ("run.json", "events.jsonl", "server.log", "supervisor.log", "secrets.yaml")
    }
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "servers").write_text("")

    with pytest.raises(StateError, match="a file in a folder's place"):
        RunStore("a", root=tmp_path / "servers").create()


def test_servers_with_a_record_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        store = RunStore(name, root=tmp_path)
        store.create()
        if name != "c":
            store.write(make_record(store.folder, name=name))
    for stray in (".trash", "not a name"):
        (tmp_path / stray).mkdir()
        (tmp_path / stray / "run.json").write_text("{}")

    assert [store.name for store in list_stores(tmp_path)] == ["a", "b"]


# --- the record --------------------------------------------------------------------------------


@settings(max_examples=30)  # each writes a file
@given(
    state=st.sampled_from(ServerState),
    ready_seconds=st.none() | st.floats(0, 1e6),
    kv_cache_tokens=st.none() | st.integers(1, 2**53),
    exit=st.none() | st.text(),
    command=st.lists(st.text()).map(tuple),
    environment=st.dictionaries(st.text(), st.text(), max_size=3),
    api_key_file=st.none() | st.just(Path("/keys/a key")),
    started_at=st.datetimes(
        datetime(1970, 1, 1),  # noqa: DTZ001  # the zone is an argument of its own
        datetime(9000, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
)
def test_a_record_can_be_written_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, **fields: Any
) -> None:
    store = RunStore("default", root=tmp_path_factory.mktemp("servers"))
    store.create()
    record = make_record(store.folder, server=this_process(), **fields)

    store.write(record)

    # The supervisor in it is this process, which is one for as long as it holds the lock.
    with store.lock():
        assert store.read() == record


def test_a_record_is_for_its_owner_alone(store: RunStore) -> None:
    store.write(make_record(store.folder))

    assert stat.S_IMODE(store.record_file.stat().st_mode) == 0o600


def test_a_field_of_a_later_version_does_not_hurt(store: RunStore) -> None:
    record = make_record(store.folder)
    store.write(record)
    fields = json.loads(store.record_file.read_text())
    store.record_file.write_text(json.dumps({**fields, "later": 1}))

    with store.lock():
        assert store.read() == record


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"schema_version": 1}',
        json.dumps({"schema_version": 2, "api_key": SECRET}).encode(),
        json.dumps({"name": {"of": SECRET}, "state": SECRET}).encode(),
    ],
)
def test_what_is_no_record_is_told_without_its_content(store: RunStore, content: bytes) -> None:
    store.record_file.write_bytes(content)

    with pytest.raises(StateError, match="is not a run record of version 1") as caught:
        store.read()

    assert SECRET not in caught.value.problem + caught.value.action
    assert str(store.record_file) in caught.value.problem


def test_a_record_that_cannot_be_read_is_told(store: RunStore) -> None:
    store.record_file.mkdir()

    with pytest.raises(StateError, match="not ours alone: it is a folder in a file's place"):
        store.read()


# --- what the record cannot know ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "supervisor_lives", "server_lives", "live_state"),
    [
        ("STARTING", True, None, "STARTING"),
        ("READY", True, True, "READY"),
        ("READY", True, False, "READY"),
        ("STOPPING", True, True, "STOPPING"),
        ("STARTING", False, None, "DEAD"),
        ("READY", False, False, "DEAD"),
        ("READY", False, True, "ORPHANED"),
        ("STOPPING", False, True, "ORPHANED"),
        ("STOPPED", False, False, "STOPPED"),
        ("STOPPED", False, None, "STOPPED"),
        ("STOPPED", True, False, "STOPPED"),
        ("EXITED", False, False, "EXITED"),
        ("FATAL", False, None, "FATAL"),
    ],
)
def test_a_state_is_only_as_good_as_the_process_that_wrote_it(
    tmp_path: Path,
    state: str,
    *,
    supervisor_lives: bool,
    server_lives: bool | None,
    live_state: str,
) -> None:
    process = {True: this_process(), False: dead_process(), None: None}

    record = make_record(
        tmp_path,
        state=state,
        supervisor=process[supervisor_lives],
        server=process[server_lives],
    )

    assert record.live_state == live_state
    assert record.is_orphaned is (live_state == "ORPHANED")
    assert record.is_supervised is (live_state in {"STARTING", "READY", "STOPPING"})


def test_a_record_of_an_earlier_boot_is_dead(tmp_path: Path) -> None:
    before = this_process().model_copy(update={"boot_id": "another"})

    record = make_record(tmp_path, state="READY", supervisor=before, server=before)

    assert record.live_state == "DEAD"


# --- secrets -----------------------------------------------------------------------------------


@settings(max_examples=30)  # each writes a file
@given(st.dictionaries(st.sampled_from(["api-key", "admin-api-key"]), BEARER_TOKENS))
def test_keys_are_text_to_a_yaml_reader_whatever_they_look_like(
    tmp_path_factory: pytest.TempPathFactory, keys: dict[str, str]
) -> None:
    store = RunStore("default", root=tmp_path_factory.mktemp("servers"))
    store.create()

    store.write_secrets(keys)

    assert yaml.safe_load(store.secrets_file.read_text(encoding="utf-8")) == keys


@pytest.mark.parametrize("key", ["null", "None", "12345678901234567890", "true", "1e5", "0x1F"])
def test_a_key_that_looks_like_a_number_stays_text(store: RunStore, key: str) -> None:
    store.write_secrets({"api-key": key})

    assert yaml.safe_load(store.secrets_file.read_text()) == {"api-key": key}


def test_keys_are_for_their_owner_alone_and_can_be_forgotten_twice(store: RunStore) -> None:
    store.write_secrets({"api-key": SECRET})
    assert stat.S_IMODE(store.secrets_file.stat().st_mode) == 0o600

    store.remove_secrets()
    store.remove_secrets()

    assert not store.secrets_file.exists()


# --- the lock ----------------------------------------------------------------------------------

HOLDER = """
import sys
import threading
from pathlib import Path
from launcher.state.store import RunStore
with RunStore("default", root=Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(store: RunStore) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.folder.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def test_one_process_alone_holds_the_lock(store: RunStore) -> None:
    with held_by_another_process(store) as holder:
        with (
            pytest.raises(AlreadyRunningError, match="'default' is already starting"),
            store.lock(),
        ):
            pytest.fail("two hold it")
        holder.kill()
        holder.wait()
        # The kernel lets go of what a killed process held.
        with store.lock():
            pass


def test_the_one_who_comes_second_is_told_what_runs(store: RunStore) -> None:
    with held_by_another_process(store) as holder:
        supervisor = ProcessIdentity.of(holder.pid)
        store.write(
            make_record(store.folder, state="READY", supervisor=supervisor, server=this_process())
        )
        with (
            pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"),
            store.lock(),
        ):
            pytest.fail("two hold it")


def test_keys_that_were_only_half_written_go_too(store: RunStore) -> None:
    store.write_secrets({"api-key": SECRET})
    half = store.folder / ".secrets.yaml.123.partial"
    half.write_text(SECRET)
    store.remove_secrets()
    assert not list(store.folder.glob("*secrets*")) + list(store.folder.glob(".*secrets*"))


def test_the_lock_of_a_supervisor_that_is_just_ending_is_waited_for(store: RunStore) -> None:
    with contextlib.ExitStack() as ending:
        ending.enter_context(store.lock())
        timer = threading.Timer(0.2, ending.pop_all().close)
        timer.start()
        with store.lock():
            pass
        timer.join()


def test_the_lock_is_free_after_a_failure(store: RunStore) -> None:
    with pytest.raises(ZeroDivisionError), store.lock():
        raise ZeroDivisionError

    with store.lock():
        assert stat.S_IMODE((store.folder / "lock").stat().st_mode) == 0o600


def test_a_child_does_not_inherit_the_lock(store: RunStore) -> None:
    with (
        store.lock(),
        subprocess.Popen(
            ["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False, bufsize=0
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"up")
        assert child.stdout.read(2) == b"up"
        files = {str(file.readlink()) for file in Path(f"/proc/{child.pid}/fd").iterdir()}

        assert str(store.folder / "lock") not in files


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(StateError, match="No such file"),
        RunStore("missing", root=tmp_path).lock(),
    ):
        pytest.fail("there is no folder")


# --- what runs already -------------------------------------------------------------------------


def test_what_runs_is_told_with_its_endpoint_model_process_and_start(tmp_path: Path) -> None:
    record = make_record(tmp_path, state="READY", server=this_process())

    error = already_running(record, "default")

    assert error.problem == (
        "The server 'default' is already running: READY at http://127.0.0.1:8000, model tiny, "
        f"process {os.getpid()}, since 2026-11-23 10:30:05 UTC."
    )
    assert "down --name default" in error.action


@pytest.mark.parametrize("state", ["STOPPED", "EXITED", "READY"])
def test_the_record_of_an_earlier_run_is_not_taken_for_what_starts_now(
    tmp_path: Path, state: str
) -> None:
    earlier: RunRecord | None = make_record(
        tmp_path, state=state, server=dead_process(), supervisor=dead_process()
    )

    for record in (earlier, None):
        assert already_running(record, "a").problem == "A server named 'a' is already starting."


@pytest.mark.parametrize("at", ["servers", "default"])
def test_a_link_in_a_folders_place_is_refused_by_whatever_reads_or_writes(
    tmp_path: Path, at: str
) -> None:
    root, elsewhere = tmp_path / "servers", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    if at == "default":
        root.mkdir(mode=0o700)
    (root if at == "servers" else root / at).symlink_to(elsewhere)
    store = RunStore("default", root=root)

    def lock() -> None:
        with store.lock():
            pass

    for use in (store.create, store.read, lock):
        with pytest.raises(ForeignStateError, match="symbolic link"):
            use()
    assert list(elsewhere.iterdir()) == []
