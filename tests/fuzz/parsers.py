"""What is fuzzed: functions of bytes that return for every input."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from launcher.config.config_file import read_config_file
from launcher.config.sources import resolve
from launcher.diagnosis.foreign import diagnose_output
from launcher.engines.sglang.engine import SGLANG
from launcher.engines.sglang.plugins.glm.calls import CallParser
from launcher.errors import LauncherError
from launcher.state.record import RunRecord
from launcher.system.hardware import GIB, Hardware
from tests.unit.launcher.engines.sglang.glm.answers import read
from tests.unit.launcher.examples import make_record

_LAPTOP: Final = Hardware((), "no driver", (0, 1), 16 * GIB)
_SCHEMAS: Final = {
    "f": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
}
_FOLDER: Final = Path(tempfile.mkdtemp(prefix="specserve-fuzz-"))


def configuration(data: bytes) -> None:
    """A file of `--config`; the first byte says which format it is in."""
    ending = ".toml" if data[:1] < b"\x80" else ".yaml"
    file = _FOLDER / f"config{ending}"
    file.write_bytes(data[1:])
    try:
        read_config_file(file)
        resolve(preset="nano", config_file=file, probe=lambda: _LAPTOP)
    except LauncherError:
        return


def record(data: bytes) -> None:
    """A run record, as `launcher.state.store.RunStore.read` reads it.

    Pydantic's reader of JSON has no branches that the fuzzer sees, so that it begins with a whole
    record; Python's own reader shows it the way.
    """
    try:
        found = RunRecord.model_validate(json.loads(data))
        found.read_config()
    except (ValueError, RecursionError, ValidationError, LauncherError):
        return


def log(data: bytes) -> None:
    """The output of a server that ended."""
    diagnose_output(data.decode("utf-8", "replace").splitlines(), SGLANG, exit_code=1)


def calls(data: bytes) -> None:
    """An answer, whole and in pieces as long as its first byte says."""
    text = data[1:].decode("utf-8", "replace")
    length = 1 + data[0] % 16 if data else 1
    pieces = [text[at : at + length] for at in range(0, len(text), length)]
    whole, streamed = read(CallParser(_SCHEMAS), [text]), read(CallParser(_SCHEMAS), pieces)
    if whole != streamed:
        raise AssertionError(f"{text!r} in pieces of {length} is read otherwise than whole")


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "configuration": configuration,
    "record": record,
    "log": log,
    "calls": calls,
}
_RECORD: Final = make_record(_FOLDER).model_dump_json().encode()
_LOG: Final = (
    b'Traceback (most recent call last):\n  File "/a/sglang/srt/x.py", line 1, in f\n'
    b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
    b"[2026-11-29 06:00:00 TP0] Scheduler hit an exception: \n"
)
_ANSWER: Final = (
    b"\x02Let me. <tool_call>f\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n"
    b"<arg_key>n</arg_key>\n<arg_value>3</arg_value>\n</tool_call>"
)
# What the fuzzer begins with.
SEEDS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "configuration": (
        b"\xffport: 8000\nextra_args: [--a, 'b']\nmodel_path: &a x\nhost: *a\n",
        b'\0port = 8000\nextra_args = ["--a"]\nhost = """x"""\n',
    ),
    "record": (_RECORD,),
    "log": (_LOG,),
    "calls": (_ANSWER,),
}
