"""What the cheap commands cost: they load no engine and nothing else that takes its time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.project import PROJECT

ENGINE = {"torch", "sglang", "sgl_kernel", "transformers", "flashinfer", "triton"}

STATUS = """
import atexit, json, runpy, sys
atexit.register(lambda: sys.stderr.write(json.dumps(sorted(sys.modules))))
sys.argv = ["launcher", "status", "--json"]
runpy.run_module("launcher", run_name="__main__", alter_sys=True)
"""


def test_status_imports_no_engine_and_writes_nothing(tmp_path: Path) -> None:
    folders = {
        variable: str(tmp_path / variable)
        for variable in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    }

    done = subprocess.run(
        [sys.executable, "-B", "-c", STATUS],
        cwd=PROJECT,
        env={**os.environ, **folders},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"servers": [], "unrecorded": [], "errors": []}
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert "launcher" in loaded
    # Nor anything else that takes a noticeable time and that it does not need.
    assert loaded & (ENGINE | {"numpy", "httpx", "openai", "huggingface_hub", "yaml"}) == set()
    assert list(tmp_path.iterdir()) == []
