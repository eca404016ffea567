"""SGLang's load segment has the id of its run in its name, by SGLang's own functions."""

from __future__ import annotations

import os
import subprocess
import sys

RUN_ID = "0123456789abcdef"
ASK = """
from launcher.engines.sglang.plugins.lifecycle import segment_names
segment_names.activate()
from sglang.srt.managers.load_snapshot import shm_path_for
from sglang.srt.server_args import PortArgs
drawn = PortArgs(*[""] * 8, instance_id="46e52ad5d406")
print("PATH", shm_path_for(segment_names._name_after_run(drawn).instance_id))
print("HOOKED", hasattr(PortArgs.init_new, "__wrapped__"))
"""


def test_the_name_of_the_segment_holds_the_id_of_the_run() -> None:
    environment = {**os.environ, "SPECSERVE_RUN_ID": RUN_ID}
    said = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert f"PATH /dev/shm/sglang_loads_{RUN_ID}_" in said
    assert "HOOKED True" in said
