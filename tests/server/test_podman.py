"""What `export kubernetes` writes, run for real by podman: the nano model on a CPU.

Everything of the manifest is as it was exported but for what this machine has not: a GPU, an image
of SGLang, and a hub (`tests/server/pods.py`).
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from clients import AuthenticationError, ChatClient, ChatReply, RetryPolicy
from launcher.config.sources import resolve
from launcher.engines.launch import CommandTarget
from launcher.engines.select import default_engine
from launcher.nano.folder import model_path
from launcher.serving import free_port
from launcher.system.hardware import probe_hardware
from tests.server.conftest import run_cli
from tests.server.pods import IMAGE, Kubelet, bare_pod, make_image, make_secret, podman

NAME = "exported"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# These the manifest says; the rest of the preset's command is what a CPU needs.
SAID = frozenset({"--model-path", "--served-model-name", "--host", "--port"})


def cpu_needs() -> tuple[list[str], dict[str, str]]:
    """What the launcher would add to serve the nano model on this machine's CPU."""
    config = resolve(preset="nano", flags={}, flags_are="a test", probe=probe_hardware).config
    cpus = tuple(sorted(os.sched_getaffinity(0)))
    command = default_engine().make_command(config, CommandTarget("python3", cpus))
    words = list(command.server_arguments)
    for option in SAID:
        place = words.index(option)
        del words[place : place + 2]
    # Of the launcher's plugins, the one that stands for a GPU; an exported server has none of them.
    variables = {
        name: value
        for name, value in command.environment.items()
        if not name.startswith("SPECSERVE_") or name == "SPECSERVE_CPU_ENGINE"
    }
    return words, variables


def exported(file: Path, port: int) -> list[dict[str, Any]]:
    arguments = (
        *("--model-path", "specserve/nano", "--revision", COMMIT, "--served-model-name", "nano"),
        *("--device", "cuda", "--port", str(port), "--name", NAME, "--storage-gib", "1"),
        *("--image", IMAGE, "--start-timeout-seconds", "300", "--output", str(file)),
    )
    assert run_cli("export", "kubernetes", *arguments) == 0
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


def make_keys(file: Path) -> str:
    """Run the commands that the manifest's head tells; gives the clients' key."""
    lines = re.findall(r"^# +(\(umask 077; .*\))$", file.read_text(), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        subprocess.run(line, shell=True, check=True, cwd=file.parent)  # noqa: S602 - as told
    return (file.parent / "api-key").read_text()


@pytest.mark.costly
def test_an_exported_pod_becomes_ready_answers_and_stops_in_time(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    with podman() as command:
        make_image(command, model_path())
        port = free_port()
        documents = exported(file, port)
        key = make_keys(file)
        kinds = {document["kind"]: document for document in documents}
        pod = bare_pod(kinds.pop("Deployment"), *cpu_needs())
        make_secret(command, f"{NAME}-keys", tmp_path, "api-key", "specserve-keys.yaml")
        kubelet = Kubelet(command, pod)
        kubelet.play(kinds["PersistentVolumeClaim"], pod)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            kubelet.wait_until(probe)
        url = f"http://127.0.0.1:{port}"
        with ChatClient(url, api_key=key) as client:
            reply = client.chat("What is 12 + 30?", thinking=False, max_tokens=48, temperature=0)
            assert "42" in reply.content
        once = RetryPolicy(retries=0)
        with (
            ChatClient(url, api_key="another-key-0123456789", retry=once) as client,
            pytest.raises(AuthenticationError),
        ):
            client.chat("Hello", model="nano")
        assert key not in kubelet.processes()
        # As the manifest's head says: where SGLang prints its arguments, and nowhere else.
        shown = [line for line in kubelet.logs().splitlines() if key in line]
        assert all("server_args=" in line for line in shown)
        assert_a_stop_cuts_nothing(kubelet, url, key)


def assert_a_stop_cuts_nothing(kubelet: Kubelet, url: str, key: str) -> None:
    """What is in flight at a stop ends whole, and the server ends before it would be killed."""
    under_way = threading.Event()
    replies: list[ChatReply] = []

    def read() -> None:
        with ChatClient(url, api_key=key) as client:
            # Longer than `preStop`, and well within the grace period on two cores.
            stream = client.stream("Count from 1.", max_tokens=500, extra={"ignore_eos": True})
            for _ in stream:
                under_way.set()
            replies.append(stream.reply())

    reader = threading.Thread(target=read)
    reader.start()
    assert under_way.wait(60)
    code = kubelet.stop()
    reader.join()
    assert [reply.finish_reason for reply in replies] == ["length"]
    # SIGKILL would be 137.
    assert code in {0, 143}, kubelet.logs()[-2000:]
