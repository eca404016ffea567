"""What a record says, and what is believed of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.errors import BrokenRecordError
from launcher.nano.folder import model_path
from launcher.preflight.prepare import prepare_adoption
from launcher.state.foreign import LARGEST_RECORD_BYTES, parse_record
from launcher.state.store import RunStore
from launcher.system.hardware import probe_hardware
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import dead_process, make_config, make_record


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore("default", root=tmp_path / "servers")
    store.create()
    return store


def test_a_server_that_is_taken_over_is_never_started_by_the_command_of_its_record(
    store: RunStore,
) -> None:
    config = make_config(model_path=str(model_path()), device="cpu")
    record = make_record(
        store.folder,
        command=("sh", "-c", "touch /tmp/made"),
        environment={"LD_PRELOAD": "/tmp/evil.so", "CUDA_VISIBLE_DEVICES": "; rm"},  # noqa: S108
        config=config.model_dump(mode="json"),
    )

    launch = prepare_adoption(
        record, probe_hardware(), secrets_file=store.secrets_file, detached=True
    )

    assert launch.command.argv[0] == sys.executable
    assert "sglang.launch_server" in launch.command.argv
    assert not {"sh", "touch /tmp/made"} & {*launch.command.argv}
    assert "/tmp/evil.so" not in launch.command.environment.values()  # noqa: S108
    assert launch.command.environment.get("CUDA_VISIBLE_DEVICES") != "; rm"


def test_a_supervisor_is_one_only_while_it_holds_the_lock(store: RunStore) -> None:
    own = ProcessIdentity.of(os.getpid())
    store.write(make_record(store.folder, state="READY", supervisor=own))

    forged = store.read()
    assert forged is not None
    assert not forged.is_supervised
    with store.lock():
        held = store.read()
        assert held is not None
        assert held.is_supervised
        # Also where somebody has removed the file since.
        store.lock_file.unlink()
        removed = store.read()
        assert removed is not None
        assert removed.is_supervised


def test_a_server_is_one_only_with_its_run_id(store: RunStore) -> None:
    argv = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
    for run_id, is_ours in (("0123456789abcdef", True), ("another", False)):
        with subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "SPECSERVE_RUN_ID": run_id},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            server = ProcessIdentity.of(process.pid)
            store.write(
                make_record(store.folder, state="READY", supervisor=dead_process(), server=server)
            )
            record = store.read()
            process.kill()
        assert record is not None
        assert record.server == (server if is_ours else None)


def test_a_record_has_a_size_and_a_depth(store: RunStore) -> None:
    right = make_record(store.folder).model_dump_json()
    assert parse_record(right.encode(), "default", store.record_file).name == "default"
    for content in (
        "[" * LARGEST_RECORD_BYTES,
        right[:-1] + ', "later": ' + "[" * 50 + "]" * 50 + "}",
        right[:-1] + ', "later": ' + "9" * 400 + "}",
        right[:-1] + ', "later": "' + "x" * 100_000 + '"}',
    ):
        with pytest.raises(BrokenRecordError):
            parse_record(content.encode(), "default", store.record_file)
