"""Exported pods under podman, without a registry, a cluster or a GPU: image, pod, and a kubelet.

podman 4.3.1 makes a pod's containers, volumes and secrets. What else a cluster's kubelet does with
a pod it leaves undone, or does otherwise, so that is done here, by what the manifest says:

- the three probes: podman takes a liveness probe alone, and asks a port that has a name at port 0;
- `preStop`, and `terminationGracePeriodSeconds`: it knows neither;
- a Deployment's pod: it starts an init container again after its success, without end, since
  `restartPolicy` is `Always` for all of them. So the pod is played by itself, with `OnFailure`.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

IMAGE: Final = "localhost/specserve-nano:1"
_PAUSE: Final = 0.5
# What a root file system needs where all else is mounted.
_FOLDERS: Final = ("usr", "proc", "sys", "dev", "tmp", "run", "etc", "root", "var/lib", "opt/bin")
_MERGED: Final = ("bin", "lib", "lib64", "sbin")
_LIMITS: Final = '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
# In the place of `hf download`, which would ask the hub: the same layout of the same cache.
_HF: Final = """#!/bin/sh
set -e
[ "$1" = download ] && [ "$3" = --revision ]
folder="$HF_HOME/hub/models--$(echo "$2" | sed 's,/,--,')/snapshots/$4"
mkdir -p "$folder" "$HOME"
cp {model}/* "$folder"
"""


class Podman:
    """podman with a store of its own, which is gone at the end."""

    def __init__(self, folder: Path) -> None:
        limits = folder / "containers.conf"
        limits.write_text(_LIMITS)
        self._environment = {**os.environ, "CONTAINERS_CONF": str(limits)}
        self._command = (
            *("podman", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"),
            *("--runtime", "runc", "--events-backend", "file"),
            *("--root", str(folder / "root"), "--runroot", str(folder / "run")),
            *("--tmpdir", str(folder / "tmp"), "--network-config-dir", str(folder / "networks")),
        )

    def __call__(self, *arguments: str, given: bytes | None = None, check: bool = True) -> str:
        """Run a command; give what it printed."""
        done = subprocess.run(
            (*self._command, *arguments),
            input=given, capture_output=True, env=self._environment, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"podman {arguments[0]}: {done.stderr.decode()[-2000:]}")
        return done.stdout.decode() + (done.stderr.decode() if "logs" in arguments else "")


@contextlib.contextmanager
def podman() -> Iterator[Podman]:
    """podman, where it can run containers here; otherwise the test is skipped, with the reason."""
    missing = [name for name in ("podman", "runc", "curl") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (`apt-get install podman runc curl`)")
    if os.geteuid() != 0:
        pytest.skip("without root, podman needs subordinate ids, which not every machine has")
    # Short: its sockets' paths have a limit of 108 characters.
    folder = Path(tempfile.mkdtemp(prefix="pod-"))
    command = Podman(folder)
    try:
        yield command
    finally:
        command("pod", "rm", "--all", "--force", "--time", "0", check=False)
        command("volume", "rm", "--all", "--force", check=False)
        # No `system reset`: what is of other stores on this machine would go as well.
        command("network", "prune", "--force", check=False)
        shutil.rmtree(folder, ignore_errors=True)


def make_image(command: Podman, model: Path) -> None:
    """An image without content: `python3` is this test's, and `hf` copies a folder."""
    files = {
        "opt/bin/python3": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        "opt/bin/hf": _HF.format(model=model),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in _FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name in _MERGED:
            if Path("/", name).is_symlink():
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
                tar.addfile(entry)
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    path = "ENV PATH=/opt/bin:/usr/bin:/bin"
    command("import", "--change", path, "-", IMAGE, given=archive.getvalue())


def machine_folders() -> list[str]:
    """What of this machine the containers see, for reading: Python, the engine and this project."""
    project = Path(__file__).parents[2]
    found = {"/usr", sys.prefix, sys.base_prefix, str(project)}
    return sorted(one for one in found if one == "/usr" or not one.startswith("/usr/"))


def bare_pod(deployment: dict[str, Any], arguments: list[str], variables: dict[str, str]) -> Any:
    """The pod of a Deployment, for a machine without a GPU.

    Args:
        deployment: as it was exported.
        arguments: what the engine needs on a CPU; the last one of two counts.
        variables: likewise; those of the manifest count.
    """
    template = deployment["spec"]["template"]
    spec = template["spec"]
    spec["restartPolicy"] = "OnFailure"
    for number, folder in enumerate(machine_folders()):
        source = {"name": f"machine-{number}", "hostPath": {"path": folder, "type": "Directory"}}
        spec["volumes"].append(source)
        mount = {"name": f"machine-{number}", "mountPath": folder, "readOnly": True}
        for container in (*spec["initContainers"], *spec["containers"]):
            container["volumeMounts"].append(mount)
    (server,) = spec["containers"]
    server["args"] += arguments
    del server["resources"]["limits"]
    named = {variable["name"] for variable in server["env"]}
    server["env"] += [
        {"name": name, "value": value} for name, value in variables.items() if name not in named
    ]
    # The port is the host's own as well, so that it is asked like any server.
    for port in server["ports"]:
        port["hostPort"] = port["containerPort"]
    metadata = {"name": deployment["metadata"]["name"], **template["metadata"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def make_secret(command: Podman, name: str, folder: Path, *files: str) -> None:
    """What `kubectl create secret generic NAME --from-file=...` makes, in podman's own store.

    podman 4.3.1 keeps a Secret as it was given, and mounts its values as they are there, in base64.
    So they are given as they are to be.
    """
    content = {"data": {file: (folder / file).read_text() for file in files}}
    command("secret", "create", name, "-", given=yaml.safe_dump(content).encode())


class Kubelet:
    """Does with a pod what its manifest says, and podman does not do.

    Args:
        command: podman.
        pod: as it was played.
    """

    def __init__(self, command: Podman, pod: Any) -> None:
        self._podman = command
        self._pod = pod["metadata"]["name"]
        self._spec = pod["spec"]
        (self._server,) = pod["spec"]["containers"]
        self._container = f"{self._pod}-{self._server['name']}"

    def play(self, *documents: Any) -> None:
        """Make it, and all that it needs."""
        self._podman("kube", "play", "-", given=yaml.safe_dump_all(documents).encode())

    def wait_until(self, probe: str) -> None:
        """Ask as a probe says, as often as it allows; sooner than it says, since nobody waits."""
        asked = self._server[probe]
        deadline = time.monotonic() + asked["periodSeconds"] * asked["failureThreshold"]
        while not self.ask(probe):
            if time.monotonic() > deadline or not self.is_first_try():
                raise AssertionError(f"{probe}: {self.logs()[-3000:]}")
            threading.Event().wait(_PAUSE)

    def ask(self, probe: str) -> bool:
        """Ask once."""
        asked = self._server[probe]
        ports = {port["name"]: port["hostPort"] for port in self._server["ports"]}
        port = ports[asked["httpGet"]["port"]]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=asked["timeoutSeconds"])
        with contextlib.closing(connection):
            try:
                connection.request("GET", asked["httpGet"]["path"])
                return 200 <= connection.getresponse().status < 400
            except (OSError, http.client.HTTPException):
                return False

    def stop(self) -> int:
        """End it as a cluster does; gives the exit code of its server."""
        hook = self._server["lifecycle"]["preStop"]["exec"]["command"]
        grace = self._spec["terminationGracePeriodSeconds"]
        began = time.monotonic()
        self._podman("exec", self._container, *hook)
        left = max(1, round(grace - (time.monotonic() - began)))
        # `pod stop` would end the container that has the network at the same time, and with it
        # every connection. A cluster keeps that until the others have ended.
        self._podman("stop", "--time", str(left), self._container)
        return int(self.state()["ExitCode"])

    def state(self) -> dict[str, Any]:
        """What podman knows of the server's container."""
        found: dict[str, Any] = json.loads(self._podman("inspect", self._container))[0]["State"]
        return found

    def is_first_try(self) -> bool:
        """Whether the server runs, and has not failed and been restarted."""
        found = json.loads(self._podman("inspect", self._container))[0]
        return bool(found["State"]["Running"]) and not found["RestartCount"]

    def processes(self) -> str:
        """The command lines in the container."""
        return self._podman("top", self._container, "args")

    def logs(self) -> str:
        """What it printed."""
        return self._podman("logs", self._container, check=False)
