"""What a server shares is named after its run, by SGLang's and Python's own functions."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import MappingProxyType

import launcher
from launcher.engines.launch import Command
from launcher.supervision.server.end import ServerResources, end_server
from launcher.supervision.server.process import spawn
from launcher.system.process import ProcessIdentity, wait_until_gone
from launcher.system.shared_memory import ROOT, segments_of

RUN_ID = "0123456789abcdef"
REPOSITORY = Path(launcher.__file__).parent.parent
ASK = """
from launcher.engines.sglang.plugins.lifecycle import segment_names
segment_names.activate()
from sglang.srt.distributed.device_communicators import shm_broadcast
from sglang.srt.managers.load_snapshot import shm_path_for
from sglang.srt.server_args import PortArgs
from sglang.srt.utils import stale_shm_cleanup
drawn = PortArgs(*[""] * 8, instance_id="46e52ad5d406")
print("PATH", shm_path_for(segment_names._name_after_run(drawn).instance_id))
print("HOOKED", hasattr(PortArgs.init_new, "__wrapped__"))
print("QUEUE", queue := shm_broadcast.make_shm_name("mq"))
import os
print("PID", stale_shm_cleanup._creator_pid(queue) == os.getpid())
"""
# A first process without SGLang, whose child shows a progress bar as a scheduler does.
SERVER = """
import multiprocessing, os, signal, sys
from launcher.engines.sglang.plugins import hooks
from launcher.engines.sglang.plugins.lifecycle import segment_names

def load():
    import tqdm
    list(tqdm.tqdm(range(1), disable=False, file=open(os.devnull, "w")))
    print(os.getpid(), flush=True)
    signal.pause()

if __name__ == "__main__":
    hooks.install = lambda _: None
    segment_names.activate()
    multiprocessing.set_start_method("spawn")
    multiprocessing.Process(target=load).start()
    signal.pause()
"""


def test_the_name_of_the_segment_holds_the_id_of_the_run() -> None:
    environment = {**os.environ, "SPECSERVE_RUN_ID": RUN_ID}
    said = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert f"PATH /dev/shm/sglang_loads_{RUN_ID}_" in said
    assert "HOOKED True" in said
    # SGLang itself reads the pid of whoever has made it from the name.
    assert f"QUEUE sgl_shm_{RUN_ID}_mq_" in said
    assert "PID True" in said


def test_a_semaphore_of_a_child_that_died_before_any_look_goes_with_the_run(
    tmp_path: Path,
) -> None:
    """The resource tracker, which knows of it too, is ended together with the server."""
    script, output = tmp_path / "server.py", tmp_path / "output"
    script.write_text(SERVER)
    run_id = secrets.token_hex(8)
    environment = MappingProxyType({"PYTHONPATH": str(REPOSITORY)})
    with output.open("wb") as file:
        server = spawn(
            Command((sys.executable, str(script)), environment),
            run_id=run_id, cwd=tmp_path, output=file.fileno(), die_with_parent=False,
        )  # fmt: skip
    try:
        while not output.read_bytes().endswith(b"\n"):
            assert server.popen.poll() is None, output.read_text()
            time.sleep(0.02)
        loader = ProcessIdentity.of(int(output.read_text()))
        # Nobody else looks: `end_server` is told of nothing that was seen.
        made = [ROOT / segment.name for segment in segments_of([loader])]
        assert [path.name.partition("-")[0] for path in made] == ["sem.mp"]
        loader.send_signal(signal.SIGKILL)
        assert wait_until_gone(loader, timeout_seconds=5.0)
        assert all(path.exists() for path in made)
    finally:
        end_server(server.identity, run_id, ServerResources("127.0.0.1", 1, on_gpus=False), [])
        server.wait()
    left = [path for path in made if path.exists()]
    for path in left:
        path.unlink()
    assert left == []
