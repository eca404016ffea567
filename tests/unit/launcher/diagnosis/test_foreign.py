"""Logs of servers that were started by somebody else, under whatever prefix."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.diagnosis.foreign import (
    NO_FAILURE,
    UNKNOWN,
    Diagnosis,
    diagnose_output,
    last_start,
)
from launcher.diagnosis.prefixes import own_lines
from launcher.diagnosis.secrets import remove_secrets
from launcher.engines.causes import Confidence, Retry
from launcher.engines.sglang.causes.signs import SIGNS
from launcher.engines.sglang.engine import SGLANG
from tests.unit.launcher.diagnosis.cases import PUBLIC, SEEN, PublicCase
from tests.unit.launcher.diagnosis.test_causes import CASES, Case, texts

Prefix = Callable[[int, str], str]

PREFIXES: dict[str, Prefix] = {
    "none": lambda _, line: line,
    "docker --timestamps": lambda n, line: f"2026-11-28T20:00:{n % 60:02}.123456789Z {line}",
    "docker json": lambda n, line: json.dumps(
        {"log": f"{line}\n", "stream": "stderr", "time": f"2026-11-28T20:00:{n % 60:02}.1Z"}
    ),
    "compose": lambda _, line: f"sglang-1  | {line}",
    "compose in colours": lambda _, line: f"\x1b[36msglang-1  | \x1b[0m{line}",
    "compose --timestamps": lambda n, line: f"s-1  | 2026-11-28T20:00:{n % 60:02}.123Z {line}",
    "kubernetes": lambda n, line: f"2026-11-28T20:00:{n % 60:02}.123456789+00:00 {line}",
    "kubectl --prefix": lambda _, line: f"[pod/glm-7f9c/sglang] {line}",
    "cri": lambda n, line: f"2026-11-28T20:00:{n % 60:02}.123456789Z stderr F {line}",
    "journald": lambda n, line: f"Nov  8 20:00:{n % 60:02} gpu-3 sglang[4821]: {line}",
    "journald iso": lambda n, line: f"2026-11-28T20:00:{n % 60:02}+0000 gpu-3 sglang[42]: {line}",
    "slurm": lambda _, line: f"0: {line}",
    "ray": lambda _, line: f"(Worker pid=4821, ip=10.0.0.7) {line}",
    "colours": lambda _, line: f"\x1b[90m{line}\x1b[0m",
    "carriage return": lambda _, line: f"{line}\r",
}


def prefixed(lines: Sequence[str], name: str) -> list[str]:
    return [PREFIXES[name](number, line) for number, line in enumerate(lines)]


def diagnose(lines: Sequence[str], exit_code: int | None = None, **more: bool) -> Diagnosis:
    return diagnose_output(lines, SGLANG, exit_code=exit_code, **more)


def started_with(case: Case) -> str:
    """The line in which SGLang prints its arguments."""
    config: dict[str, Any] = {"model_path": "/models/tiny", "tp_size": 1, "port": 8000}
    config |= case.config
    options = list(config.pop("extra_args", ()))
    for name, value in zip(options[::2], options[1::2], strict=True):
        config[name.strip("-").replace("-", "_")] = value
    return f"[2026-11-28 20:00:00] server_args={config}"


def whole_log(case: Case) -> list[str]:
    """A fixture with its arguments, behind the warning that SGLang prints before them."""
    lines = list(case.lines())
    warned = [number for number, line in enumerate(lines) if "is still supported" in line]
    lines.insert(warned[-1] + 1 if warned else 0, started_with(case))
    return lines


# Those that differ most are tried to the end; for the others the lines that are left are compared.
DEEP_PREFIXES = ("docker json", "compose in colours", "journald", "slurm")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.output)
def test_a_fixture_has_one_answer_under_every_prefix(case: Case) -> None:
    lines = whole_log(case)
    if case.served:
        lines.insert(
            lines.index(started_with(case)) + 1,
            "[2026-11-28 20:00:01] The server is fired up and ready to roll!",
        )
    code = case.returncode if case.oom_kills == 0 else -9

    for prefix in DEEP_PREFIXES:
        found = diagnose(prefixed(lines, prefix), code, oom_killed=case.oom_kills > 0)
        assert (found.cause, found.retry) == (case.cause, case.retry), prefix
    for prefix in PREFIXES:
        assert own_lines(prefixed(lines, prefix)) == own_lines(lines), prefix


@pytest.mark.parametrize("case", [*PUBLIC, *SEEN], ids=lambda case: case.id)
def test_a_public_failure_has_its_cause_and_a_remedy_under_every_prefix(case: PublicCase) -> None:
    prefixes = PREFIXES if case in PUBLIC else ("none",)

    for prefix in prefixes:
        found = diagnose(prefixed(case.lines, prefix), case.exit_code)
        assert found.cause == case.cause, prefix
        for text in case.says:
            assert text in f"{found.problem} {found.action}", prefix
        for text in case.never:
            assert text not in found.action, prefix


@given(
    st.sampled_from(PUBLIC),
    st.integers(0, 400),
    st.lists(texts(), max_size=6),
    st.randoms(use_true_random=False),
)
@settings(max_examples=150, deadline=None)
def test_noise_and_truncation_end_in_some_answer(
    case: PublicCase, cut: int, noise: list[str], dice: random.Random
) -> None:
    lines = list(case.lines[:cut])
    for line in noise:
        lines.insert(dice.randint(0, len(lines)), line)

    found = diagnose(lines, case.exit_code)

    assert found.problem
    assert found.action
    assert (found.confidence is Confidence.UNKNOWN) == (found.cause == UNKNOWN)


UNKNOWNS = (
    (
        "[2026-11-28 20:00:00 TP0] Load weight begin. avail mem=78.98 GB",
        "[2026-11-28 20:00:01 TP0] Scheduler hit an exception: Traceback (most recent call last):",
        '  File "/app/acme/hooks.py", line 31, in flush',
        "    tenants[name].bill()",
        "KeyError: 'tenant-17'",
        "[2026-11-28 20:00:02] kill_process_tree called: parent_pid=9, include_parent=True, pid=9",
    ),
    (
        "[2026-11-28 20:00:01 TP1] Scheduler hit an exception: Traceback (most recent call last):",
        '  File "/app/sglang/srt/managers/scheduler.py", line 77, in run_batch',
        "ZeroDivisionError: float division by zero",
        "[2026-11-28 20:00:01 TP0] Scheduler hit an exception: Traceback (most recent call last):",
        '  File "/app/sglang/srt/managers/scheduler.py", line 77, in run_batch',
        "ZeroDivisionError: float division by zero",
        (
            "[2026-11-28 20:00:02] Received sigquit from a child process. It usually means the"
            " child failed."
        ),
    ),
    ("[2026-11-28 20:00:00 TP0] Load weight begin. avail mem=78.98 GB",),
)
HARMLESS = (
    "[2026-11-28 20:00:00] WARNING: no CUDA-capable device is detected by the monitoring agent",
    "/venv/lib/torch/x.py:7: UserWarning: CUDA out of memory is handled by the caching allocator",
    (
        "[2026-11-28 20:00:00] Ignore import error when loading sglang.srt.models.x: "
        "libnuma.so.1: cannot open shared object file: No such file or directory"
    ),
    "W1128 20:00:00.000 ProcessGroupNCCL.cpp:12] NCCL error: unhandled system error, retried",
    "INFO: Permission denied: '/root/.triton', falling back to a temporary folder",
    "[2026-11-28 20:00:00] torch.cuda: No space left on device, falling back to memory",
    '[2026-11-28 20:00:00] INFO:     10.0.0.1:9 - "POST /v1/chat/completions HTTP/1.1" 400',
    "[2026-11-28 20:00:00 TP0] Decode batch, #running-req: 3, #token: 20080, token usage: 0.05",
)


@given(
    st.sampled_from(UNKNOWNS),
    st.lists(st.sampled_from(HARMLESS) | st.text(max_size=60), max_size=8),
    st.randoms(use_true_random=False),
    st.sampled_from([1, -9, 137]),
)
@settings(max_examples=300, deadline=None)
def test_no_noise_turns_an_unknown_into_a_certain_cause(
    lines: tuple[str, ...], noise: list[str], dice: random.Random, code: int
) -> None:
    mixed = list(lines)
    for line in noise:
        mixed.insert(dice.randint(0, len(mixed)), line)

    assert diagnose(mixed, code).confidence is not Confidence.CERTAIN


@given(st.sampled_from(UNKNOWNS), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_no_order_of_its_lines_turns_an_unknown_into_a_certain_cause(
    lines: tuple[str, ...], dice: random.Random
) -> None:
    mixed = list(lines)
    dice.shuffle(mixed)

    assert diagnose(mixed, 1).confidence is not Confidence.CERTAIN


@given(st.lists(st.text(max_size=200) | texts(), max_size=40), st.none() | st.integers(-64, 255))
@settings(max_examples=150, deadline=None)
def test_no_log_whatever_makes_it_fail(lines: list[str], code: int | None) -> None:
    assert diagnose(lines, code).problem


@given(st.sampled_from(CASES), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_two_ranks_that_fail_alike_are_read_although_their_lines_mix(
    case: Case, dice: random.Random
) -> None:
    one, two = list(case.lines()), list(case.lines())
    mixed: list[str] = [started_with(case)]
    while one or two:
        mixed.append((one if one and (not two or dice.random() < 0.5) else two).pop(0))

    found = diagnose(mixed, -9, oom_killed=case.oom_kills > 0)

    assert found.confidence is not Confidence.UNKNOWN


def test_an_unknown_shows_what_the_engine_said_and_where() -> None:
    found = diagnose(UNKNOWNS[0], 137)

    assert found.cause == UNKNOWN
    assert "KeyError: 'tenant-17'" in found.problem
    assert "acme/hooks.py" in found.problem
    assert found.evidence[0] == "KeyError: 'tenant-17'"


SERVED = (
    "[2026-11-28 20:00:00] server_args={'model_path': '/m', 'tp_size': 2}",
    "[2026-11-28 20:00:05 TP0] Load weight begin. avail mem=78.98 GB",
    "[2026-11-28 20:00:09] INFO:     Application startup complete.",
    "[2026-11-28 20:00:10] The server is fired up and ready to roll!",
    "[2026-11-28 20:00:11 TP0] Decode batch, #running-req: 3, #token: 20080, token usage: 0.05",
)
REQUEST_ERROR = (
    "[2026-11-28 20:00:12] Error in request: Traceback (most recent call last):",
    '  File "/app/sglang/srt/entrypoints/openai/serving_chat.py", line 77, in handle_request',
    "ValueError: Requested token count exceeds the model's maximum context length of 8 tokens.",
    '[2026-11-28 20:00:13] INFO:     10.0.0.1:9 - "POST /v1/chat/completions HTTP/1.1" 200 OK',
)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (SERVED, None),
        ((*SERVED, *REQUEST_ERROR), None),
        ((*SERVED, "[2026-11-28 20:00:20] SIGTERM received. signum=15 frame=None."), 0),
        ((*SERVED, "[2026-11-28 20:00:20] SIGTERM received. signum=15 frame=None."), 143),
        (SERVED[:2], None),
        ((), None),
    ],
)
def test_a_log_without_a_failure_says_so(lines: tuple[str, ...], code: int | None) -> None:
    found = diagnose(lines, code)

    assert (found.cause, found.retry) == (NO_FAILURE, None)


def test_only_the_last_start_of_a_log_counts() -> None:
    failed = next(case for case in CASES if case.output == "gpu-memory-graphs")
    lines = [started_with(failed), *failed.lines()]

    assert diagnose([*lines, *SERVED]).cause == NO_FAILURE
    assert diagnose([*SERVED, *lines], -9).cause == "gpu-memory-graphs"


def test_a_start_that_failed_before_it_printed_its_arguments_is_the_last_one() -> None:
    before = next(case for case in CASES if case.output == "gpu-memory-graphs")
    after = next(case for case in CASES if case.output == "import-failed")
    lines = [
        started_with(before),
        *before.lines(),
        "[2026-11-28 20:00:02] kill_process_tree called: parent_pid=9, include_parent=True, pid=9",
        *after.lines(),
    ]

    assert diagnose(lines, 1).cause == "import-failed"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (137, "killed-from-outside"),
        (-9, "killed-from-outside"),
        (139, "crashed-natively"),
        (134, "crashed-natively"),
        (143, "stopped-from-outside"),
        (1, UNKNOWN),
    ],
)
def test_an_exit_code_alone_tells_what_it_can(code: int, cause: str) -> None:
    found = diagnose(SERVED, code)

    assert found.cause == cause
    assert (found.confidence is Confidence.CERTAIN) == (cause not in {UNKNOWN, KILLED})


KILLED = "killed-from-outside"


def test_a_container_that_was_killed_for_memory_is_told_apart() -> None:
    found = diagnose(SERVED, 137, oom_killed=True)

    assert (found.cause, found.retry) == ("host-memory-kill", Retry.ONCE_SERVED)


def test_the_configuration_is_read_from_the_log_in_both_forms() -> None:
    case = next(case for case in CASES if case.output == "gpu-memory-weights")
    for arguments in (
        "server_args={'model_path': '/m', 'tp_size': 4, 'mem_fraction_static': 0.7}",
        "server_args=ServerArgs(model_path='/m', tp_size=4, mem_fraction_static=0.7)",
    ):
        assert "from 4 to 8" in diagnose([arguments, *case.lines()], -9).action
    # Without such a line the ranks that speak are counted.
    ranks = ["[2026-11-28 20:00:00 TP3] Load weight begin. avail mem=78.98 GB"]
    assert "from 4 to 8" in diagnose([*ranks, *case.lines()], -9).action


def test_advice_is_in_sglangs_own_flags() -> None:
    case = next(case for case in CASES if case.output == "gpu-memory-graphs")
    action = diagnose(case.lines(), -9).action

    assert "`--cuda-graph-max-bs-decode 8`" in action
    for case in CASES:
        found = diagnose(whole_log(case), case.returncode)
        for ours in ("-- --", "--no-speculation", "uv sync", "python -m launcher"):
            assert ours not in found.action, case.output


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("server_args={'api_key': 'hunter2-secret', 'port': 1}", "'port': 1"),
        ("server_args=ServerArgs(api_key='hunter2-secret', tp_size=2)", "tp_size=2"),
        ("+ sglang serve --api-key hunter2-secret --port 8000", "--port 8000"),
        ("Authorization: Bearer hunter2-secret", "Authorization"),
        ("HF_TOKEN=hf_hunter2secretABCDEFGH12", "HF_TOKEN"),
        ("using hf_hunter2secretABCDEFGH12 for the hub", "for the hub"),
    ],
)
def test_keys_are_removed(line: str, kept: str) -> None:
    (found,) = remove_secrets((line,))

    assert "hunter2" not in found
    assert kept in found


def test_what_looks_a_little_like_a_key_stays() -> None:
    lines = (
        'File "/app/sglang/srt/utils/hf_transformers_utils.py", line 9, in get_tokenizer',
        "server_args={'api_key': None, 'admin_api_key': None}",
    )

    assert remove_secrets(lines) == lines


def test_indentation_and_empty_lines_survive_the_prefix() -> None:
    lines = ("Traceback (most recent call last):", '  File "a.py", line 1, in f', "    g()", "")

    for name in PREFIXES:
        assert own_lines(prefixed(lines, name)) == lines, name


def test_lines_of_the_engine_that_look_like_a_prefix_stay() -> None:
    lines = ("model | size", "[2026-11-28 20:00:00] INFO", "a", "b", "c")

    assert own_lines(lines) == lines


def test_the_last_start_of_nothing_is_nothing() -> None:
    assert last_start((), SIGNS) == ()
