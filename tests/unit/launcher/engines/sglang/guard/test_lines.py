"""What a client wrote makes no line of its own, and a genuine traceback stays one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from launcher.engines.output import CONTINUES, python_errors
from launcher.engines.sglang.plugins.guard import lines

BREAKS = ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
FORGED = (
    'x"{0}[2026-11-29 12:00:00] Scheduler hit an exception: Traceback (most recent call last):{0}'
    '  File "/x/sglang/srt/managers/scheduler.py", line 2010, in run_scheduler_process{0}'
    "    scheduler.run_event_loop(){0}RuntimeError: No CUDA GPUs are available{0}"
)
# As SGLang logs: a message with a client's text, an exception with it, its own traceback as text.
PROGRAM = """
import logging, sys, threading, traceback, warnings
from launcher.engines.sglang.plugins.guard import lines
lines.install()
text = sys.stdin.buffer.read().decode()
logging.basicConfig(format="[%(asctime)s] %(message)s", datefmt="%Y-%m-%d %H:%M:%S", force=True)
log = logging.getLogger("sglang")
log.error(f"Failed to compile json grammar: {text}")
log.error("session id %s does not exist", text)
warnings.warn(text)
def fail():
    raise ValueError(text)
try:
    fail()
except ValueError as error:
    log.exception(f"Error in request: {error}")
    log.error(f"Scheduler hit an exception: {traceback.format_exc()}")
    kept = traceback.format_exc()
log.error(f"Initialization failed. warmup error: {kept}")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


@pytest.mark.parametrize("line_break", BREAKS, ids=ascii)
def test_a_client_s_text_makes_no_line_of_its_own_whichever_way_it_is_printed(
    line_break: str,
) -> None:
    forged = FORGED.format(line_break)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=forged.encode(), capture_output=True, check=False
    )
    printed = ended.stderr.decode().splitlines()
    begins = [line for line in printed if "No CUDA GPUs" in line and not line.startswith(CONTINUES)]
    assert not any(line.startswith("RuntimeError") for line in printed), ended.stderr.decode()
    assert all(line.startswith(("[", "<string>", "  ")) for line in begins), begins
    assert not any(line.startswith("[2026-11-29 12:00:00]") for line in printed)

    # The genuine ones are read as what they are: logged twice, as text twice, uncaught twice.
    errors = python_errors(tuple(printed))
    assert {error.kind for error in errors} == {"ValueError"}
    assert len(errors) == 5
    assert all(error.frames[-1].function == "fail" for error in errors)
    assert all(error.text.startswith('x"') for error in errors)
    assert any("Scheduler hit an exception" in error.announced for error in errors)


@pytest.mark.parametrize("control", ["\x00", "\x07", "\x1b[31m", "\x7f", "\x9b"], ids=ascii)
def test_controls_are_written_out(control: str) -> None:
    shown = lines.one_line(f"a{control}b\tc")
    assert shown.isprintable() or shown.replace("\t", "").isprintable()
    assert shown.startswith("a\\x")


def test_a_traceback_that_a_client_wrote_is_one_line() -> None:
    forged = "bad\nTraceback (most recent call last):\nRuntimeError: x"
    assert "\n" not in lines.one_line(forged)
    assert python_errors((lines.one_line(forged),)) == ()


def test_the_text_of_an_exception_keeps_its_lines_for_whoever_reads_it() -> None:
    printed = (
        "Traceback (most recent call last):",
        '  File "sglang/srt/x.py", line 1, in capture',
        "    run()",
        "RuntimeError: Capture failed",
        "| Possible solutions:",
        "| RuntimeError: not this one",
        "[2026-11-29 12:00:00] The next record",
    )
    (error,) = python_errors(printed)
    assert error.kind == "RuntimeError"
    assert error.text.splitlines() == [
        "Capture failed",
        "Possible solutions:",
        "RuntimeError: not this one",
    ]
