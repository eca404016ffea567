"""Causes from outputs: captured of the real server where the fault can be had without a GPU.

`outputs/*.txt` hold the last lines of a server each; the first line of a file says where it is
from.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import signal
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.config.server_config import ServerConfig
from launcher.diagnosis.search import find_cause as find_cause_in
from launcher.engines.causes import (
    LONGEST_EVIDENCE_CHARACTERS,
    Cause,
    LogCause,
    Retry,
    ServerEnd,
    SilentCause,
)
from launcher.engines.common.causes import building, drivers, folders, hub, libraries
from launcher.engines.phases import Phase
from launcher.engines.sglang.causes.advice import sglang_option
from launcher.engines.sglang.causes.table import CAUSES
from launcher.engines.sglang.options.flags import load_flag_table
from tests.unit.launcher.examples import make_config

HERE = Path(__file__).parent
OUTPUTS = HERE / "outputs"
ORIGIN = "# origin: "
OF_OTHER_PROGRAMS = {"--no-speculation", "--gpus", "--shm-size", "--reinstall-package"}

EAGLE = {
    "speculative_algorithm": "EAGLE",
    "speculative_num_steps": 3,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 4,
}
GPU = {"tp_size": 2, "mem_fraction_static": 0.7, "max_running_requests": 48}


@dataclass(frozen=True)
class Case:
    """An output, with what else is known of that ending, and what is to be found.

    `says` are texts of the summary or the action.
    """

    output: str
    cause: str
    retry: Retry
    says: tuple[str, ...]
    returncode: int | None = -signal.SIGKILL
    phase: Phase = Phase.WEIGHTS
    served: bool = False
    oom_kills: int = 0
    config: dict[str, Any] = field(default_factory=dict)

    def lines(self) -> tuple[str, ...]:
        origin, *lines = (OUTPUTS / f"{self.output}.txt").read_text("utf-8").splitlines()
        assert origin.startswith(ORIGIN)
        return tuple(lines)

    def ending(self) -> ServerEnd:
        return ServerEnd(
            returncode=self.returncode,
            phase=self.phase,
            served=self.served,
            lines=self.lines(),
            oom_kills=self.oom_kills,
            config=make_config(**self.config),
        )


NEVER, ONCE_SERVED, ALWAYS = Retry.NEVER, Retry.ONCE_SERVED, Retry.ALWAYS
RAISE = "Raise --mem-fraction-static from 0.7 to 0.8."
LOWER = "Lower --mem-fraction-static from 0.7 to 0.62"
CASES = (
    # Memory of the GPU: which way the fraction goes is the point.
    Case("gpu-memory-pool-init", "gpu-memory-pool-init", NEVER, (RAISE, "0.708"), config=GPU),
    Case("gpu-memory-pool-init-tokens", "gpu-memory-pool-init", NEVER, (RAISE,), config=GPU),
    Case(
        "kv-cache-too-small",
        "kv-cache-too-small",
        NEVER,
        ("Raise --max-total-tokens from 1 to 8192",),
        phase=Phase.KV_CACHE,
        config={"max_total_tokens": 1},
    ),
    Case(
        "gpu-memory-graphs",
        "gpu-memory-graphs",
        NEVER,
        (LOWER, "-- --cuda-graph-max-bs-decode 8", "GPU 0", "310.81 MiB of 79.11 GiB"),
        phase=Phase.GRAPHS,
        config=GPU,
    ),
    Case(
        "gpu-memory-graphs-no-traceback",
        "gpu-memory-graphs",
        NEVER,
        (LOWER,),
        phase=Phase.GRAPHS,
        config=GPU,
    ),
    Case("gpu-memory-weights", "gpu-memory-weights", NEVER, ("from 2 to 4", "GPU 1"), config=GPU),
    Case("gpu-memory-pool-allocation", "gpu-memory-pool-allocation", NEVER, (LOWER,), config=GPU),
    Case(
        "gpu-memory-run-time",
        "gpu-memory-run-time",
        ONCE_SERVED,
        (LOWER, "--chunked-prefill-size 4096"),
        phase=Phase.WARM_UP,
        served=True,
        config=GPU,
    ),
    # A rank's complaint about another one comes first here.
    Case("rank-lost-fallout", "gpu-memory-graphs", NEVER, (LOWER, "GPU 1"), config=GPU),
    # Kernels, drivers, links.
    Case("kernel-shared-memory", "kernel-shared-memory", NEVER, ("147,456", "101,376")),
    Case(
        "illegal-access-draft-graph",
        "illegal-access-draft-graph",
        ONCE_SERVED,
        ("-- --cuda-graph-backend-decode disabled", "--no-speculation"),
        phase=Phase.WARM_UP,
        served=True,
        config=EAGLE,
    ),
    Case(
        "illegal-access",
        "illegal-access",
        ONCE_SERVED,
        ("-- --cuda-graph-backend-decode disabled",),
        phase=Phase.GRAPHS,
    ),
    Case("quantization-needs-newer-gpu", "quantization-needs-newer-gpu", NEVER, ("8.9", "8.0")),
    Case("no-kernel-for-gpu", "no-kernel-for-gpu", NEVER, ("not built for this GPU",)),
    Case("driver-too-old", "driver-too-old", NEVER, ("CUDA 12.4", "Update"), returncode=1),
    Case("driver-too-old-runtime", "driver-too-old", NEVER, ("Update the driver",)),
    Case("driver-missing", "driver-missing", NEVER, ("libcuda.so.1",)),
    Case("driver-missing-kernels", "driver-missing", NEVER, ("--gpus all",), returncode=1),
    Case("no-gpu", "no-gpu", NEVER, ("--device cpu",), returncode=1),
    Case("gpu-hardware", "gpu-hardware", ONCE_SERVED, ("dmesg",), served=True),
    Case("nccl-timeout", "nccl-timeout", ONCE_SERVED, ("600 s", "_ALLGATHER_BASE"), served=True),
    Case("nccl-failure", "nccl-failure", ONCE_SERVED, ("unhandled system error",)),
    Case("nccl-failure-pynccl", "nccl-failure", ONCE_SERVED, ("unhandled cuda error",)),
    Case("kernel-compiler-missing", "kernel-compiler-missing", NEVER, ("nvcc",)),
    Case("kernel-compile-failed", "kernel-compile-failed", NEVER, ("compiler's error",)),
    # Model files.
    Case("damaged-shard", "damaged-shard", NEVER, ("incomplete metadata",)),
    Case("damaged-shard-header", "damaged-shard", NEVER, ("header too large",)),
    Case("missing-shard", "missing-shard", NEVER, ("model-00002-of-00002.safetensors",)),
    Case("no-weights", "no-weights", NEVER, ("/models/nano",)),
    Case("config-malformed", "config-malformed", NEVER, ("config.json",), returncode=1),
    Case("config-missing", "config-missing", NEVER, ("/models/nano",), returncode=1),
    Case("unknown-architecture", "unknown-architecture", NEVER, ("Glm9MoeForCausalLM",)),
    Case("unknown-architecture-type", "unknown-architecture", NEVER, ("glm9_moe",), returncode=1),
    Case("code-not-trusted", "code-not-trusted", NEVER, ("--trust-remote-code",), returncode=1),
    Case("weights-do-not-fit-config", "weights-do-not-fit-config", NEVER, ("shapes",)),
    Case("tokenizer-missing", "tokenizer-missing", NEVER, ("tokenizer.json",), returncode=1),
    Case(
        "no-nextn-layer",
        "no-nextn-layer",
        NEVER,
        ("EAGLE", "--speculative-draft-model-path"),
        phase=Phase.DRAFT_WEIGHTS,
        config=EAGLE,
    ),
    Case(
        "draft-does-not-fit",
        "draft-does-not-fit",
        NEVER,
        ("/models/draft", "--no-speculation"),
        phase=Phase.DRAFT_WEIGHTS,
        config={**EAGLE, "speculative_draft_model_path": "/models/draft"},
    ),
    Case(
        "draft-vocabulary",
        "draft-vocabulary",
        NEVER,
        ("151669", "--no-speculation"),
        phase=Phase.DRAFT_WEIGHTS,
        config={"speculative_algorithm": "DFLASH"},
    ),
    Case(
        "draft-model-missing",
        "draft-model-missing",
        NEVER,
        ("/models/no-such-draft",),
        returncode=1,
        config={**EAGLE, "speculative_draft_model_path": "/models/no-such-draft"},
    ),
    # Arguments.
    Case("quantization-unknown", "quantization-unknown", NEVER, ("glm_quant",)),
    Case("quantization-mismatch", "quantization-mismatch", NEVER, ("fp8", "awq"), returncode=1),
    Case("checkpoint-not-quantized", "checkpoint-not-quantized", NEVER, ("awq",)),
    Case("dtype-unsupported", "dtype-unsupported", NEVER, ("by --dtype bfloat16",)),
    Case(
        "context-too-long",
        "context-too-long",
        NEVER,
        ("1,000,000", "Lower --context-length from 1000000 to 8192"),
        returncode=1,
    ),
    Case(
        "tensor-parallel-size",
        "tensor-parallel-size",
        NEVER,
        ("1 experts", "Lower --tp-size from 2 to 1"),
        config={"tp_size": 2},
    ),
    Case(
        "tensor-parallel-size-divide",
        "tensor-parallel-size",
        NEVER,
        ("1408", "Lower --tp-size from 3 to 2"),
        config={"tp_size": 3},
    ),
    Case(
        "unknown-choice",
        "unknown-choice",
        NEVER,
        ("'glm99' for --tool-call-parser", "did you mean 'glm"),
        returncode=2,
    ),
    Case("unknown-argument", "unknown-argument", NEVER, ("--no-such-flag 1",), returncode=2),
    Case("chat-template-missing", "chat-template-missing", NEVER, ("no-template.jinja",)),
    # The hub.
    Case(
        "hub-gated",
        "hub-gated",
        NEVER,
        ("https://huggingface.co/example/gated", "hf auth login"),
        returncode=1,
        config={"model_path": "example/gated"},
    ),
    Case(
        "hub-no-repository",
        "hub-no-repository",
        NEVER,
        ("example/absent",),
        returncode=1,
        config={"model_path": "example/absent"},
    ),
    Case(
        "hub-no-revision",
        "hub-no-revision",
        NEVER,
        ("0123456789abcdef",),
        returncode=1,
        config={"model_path": "example/model", "revision": "0123456789abcdef"},
    ),
    Case(
        "hub-offline",
        "hub-offline",
        NEVER,
        ("python -m launcher pull zai-org/GLM-4.5-Air-FP8",),
        returncode=1,
        config={"model_path": "zai-org/GLM-4.5-Air-FP8"},
    ),
    Case(
        "hub-unreachable",
        "hub-unreachable",
        ALWAYS,
        ("python -m launcher pull zai-org/GLM-4.5-Air-FP8",),
        returncode=1,
        config={"model_path": "zai-org/GLM-4.5-Air-FP8"},
    ),
    # This machine.
    Case("kernels-unloadable", "kernels-unloadable", NEVER, ("sglang-kernel",), returncode=1),
    Case("import-failed", "import-failed", NEVER, ("libzmq.so.5",), returncode=1),
    Case("package-too-old", "package-too-old", NEVER, ("0.4.9",), returncode=1),
    Case("shared-memory-full", "shared-memory-full", ONCE_SERVED, ("dev/shm", "Enlarge")),
    Case("shared-memory-full-bus", "shared-memory-full", ONCE_SERVED, ("Enlarge",), served=True),
    Case("disk-full", "disk-full", ONCE_SERVED, ("/scratch/", "TMPDIR"), returncode=1),
    Case(
        "too-many-open-files",
        "too-many-open-files",
        ONCE_SERVED,
        ("ulimit -n 65535",),
        returncode=1,
    ),
    Case("no-more-processes", "no-more-processes", ONCE_SERVED, ("ulimit -u",), returncode=1),
    Case(
        "host-memory-allocation",
        "host-memory-allocation",
        ONCE_SERVED,
        (
            "1.0 GiB at once",
            "Lower --max-total-tokens from 2000000 to 1000000",
        ),
        config={"max_total_tokens": 2_000_000},
    ),
    Case(
        "host-memory-kill",
        "host-memory-kill",
        ONCE_SERVED,
        ("lower --max-total-tokens from 400000 to 200000",),
        returncode=1,
        oom_kills=1,
        config={"max_total_tokens": 400_000},
    ),
    # Ports, clocks, signals.
    Case("http-port-taken", "http-port-taken", ALWAYS, ("port 21001",), phase=Phase.GRAPHS),
    Case(
        "internal-port-taken",
        "internal-port-taken",
        ALWAYS,
        ("Port 21100", "another --nccl-port"),
        config={"extra_args": ("--nccl-port", "21100")},
    ),
    Case(
        "internal-port-taken-derived",
        "internal-port-taken",
        ALWAYS,
        ("Port 21234", "another --port"),
        returncode=1,
    ),
    Case("rendezvous-timeout", "rendezvous-timeout", ONCE_SERVED, ("--dist-timeout",)),
    Case(
        "watchdog-timeout",
        "watchdog-timeout",
        ONCE_SERVED,
        ("scheduler for 0.1 s", "--watchdog-timeout 600"),
        served=True,
    ),
    Case("worker-killed", "worker-killed", ALWAYS, ("scheduler of rank 0",), served=True),
    Case("worker-killed-detokenizer", "worker-killed", ALWAYS, ("detokenizer",), served=True),
    Case("worker-killed-rank", "worker-killed", ALWAYS, ("scheduler of rank 1",), served=True),
    Case("rank-lost", "rank-lost", ONCE_SERVED, ("without a word",), served=True),
    Case("worker-killed-loading", "worker-killed", ALWAYS, ("scheduler of rank 0",), returncode=1),
    Case("crashed-natively", "crashed-natively", ONCE_SERVED, ("Segmentation",), served=True),
    Case("worker-crashed", "worker-crashed", ONCE_SERVED, ("signal 11",), served=True),
    Case("killed-from-outside", "killed-from-outside", ALWAYS, ("SIGKILL",), served=True),
    Case(
        "stopped-from-outside",
        "stopped-from-outside",
        ALWAYS,
        ("SIGTERM",),
        returncode=-15,
        served=True,
    ),
)

# A name may stand in two parts of the table.
ENTRIES: tuple[tuple[str, LogCause | SilentCause], ...] = (
    *CAUSES.errors.items(),
    *CAUSES.echoes.items(),
    *CAUSES.silent.items(),
)
BY_NAME = dict(ENTRIES)


def find_cause(end: ServerEnd) -> Cause | None:
    return find_cause_in(end, CAUSES)


def found(case: Case) -> Cause:
    cause = find_cause(case.ending())
    assert cause is not None
    return cause


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.output)
def test_an_output_tells_its_cause_and_what_to_change(case: Case) -> None:
    cause = found(case)

    assert (cause.name, cause.retry) == (case.cause, case.retry)
    for text in case.says:
        assert text in f"{cause.summary} {cause.action}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.output)
def test_a_cause_is_told_in_two_sentences_with_its_evidence(case: Case) -> None:
    cause = found(case)

    for sentence in (cause.summary, cause.action):
        assert sentence[0] == sentence[0].upper()
        assert sentence.endswith(".")
        assert "\n" not in sentence
    for line in cause.evidence:
        assert 0 < len(line) <= LONGEST_EVIDENCE_CHARACTERS
        assert any(line in printed for printed in case.lines())
    # Only a server that said nothing leaves no evidence.
    assert bool(cause.evidence) == (cause.name in {*CAUSES.errors, *CAUSES.echoes})


def test_every_output_is_a_case_and_every_cause_has_an_output() -> None:
    assert {case.output for case in CASES} == {file.stem for file in OUTPUTS.glob("*.txt")}
    assert {case.cause for case in CASES} <= BY_NAME.keys()
    assert len(BY_NAME) >= 24


LOG_CAUSES = {**CAUSES.echoes, **CAUSES.errors}


@pytest.mark.parametrize("name", [name for name, cause in LOG_CAUSES.items() if cause.sample])
def test_the_sample_of_a_cause_is_found_as_that_cause(name: str) -> None:
    lines = tuple(LOG_CAUSES[name].sample.split("\n"))

    # One traceback, or lines of which each tells it.
    for output in [lines] if lines[0].startswith("Traceback") else [(line,) for line in lines]:
        cause = find_cause(replace(ending_with(output), phase=Phase.WARM_UP))
        assert cause is not None, output
        assert (cause.name, cause.evidence) == (name, (output[-1].strip(),))


def test_every_cause_has_an_output_or_a_sample_and_the_document_what_it_shows() -> None:
    told = {case.cause for case in CASES} | {name for name, one in LOG_CAUSES.items() if one.sample}
    assert {name for name, _ in ENTRIES} == told
    for name, cause in ENTRIES:
        assert cause.looks or (isinstance(cause, LogCause) and cause.sample), name
        # Where the action is a text, the document shows it; one of the two, not both.
        assert bool(cause.remedy) == callable(cause.action), name


def test_no_name_stands_twice_in_one_part_of_the_table() -> None:
    folder = importlib.import_module("launcher.engines.sglang.causes").__path__
    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(folder, "launcher.engines.sglang.causes.")
    ]
    # The rest of what any engine can meet stands in modules of SGLang's, too.
    modules += [building, drivers, folders, hub, libraries]
    for part, causes in (
        ("ERRORS", CAUSES.errors),
        ("ECHOES", CAUSES.echoes),
        ("SILENT", CAUSES.silent),
    ):
        assert sum(len(getattr(module, part, ())) for module in modules) == len(causes)


def test_every_output_says_where_it_is_from_and_nothing_of_a_machine() -> None:
    for file in OUTPUTS.glob("*.txt"):
        text = file.read_text("utf-8")
        origin, _, lines = text.partition("\n")
        assert origin.startswith(ORIGIN)
        assert lines.count("\n") <= 120
        assert not any(path in text for path in ("/root/", "/home/u", "tmp/", "api_key")), file


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.output)
def test_the_order_of_the_lines_and_of_the_table_both_count(case: Case) -> None:
    """What comes first in the output wins, and for one line what comes first in the table."""
    ending = case.ending()
    earlier = [
        cause
        for index in range(len(ending.lines))
        for name, entry in CAUSES.errors.items()
        if (cause := entry.find_in(name, ending, index)) is not None
    ]

    # Where an error stands in the output, no echo and no signal is the cause. Of a server that
    # went on after its first lines the later ones count.
    if earlier:
        cause = found(case)
        assert cause is not None
        assert replace(cause, evidence=()) == replace(earlier[0], evidence=())


def test_one_line_may_fit_several_entries_and_the_narrowest_is_first() -> None:
    case = next(case for case in CASES if case.output == "gpu-memory-graphs")
    ending = case.ending()
    index = next(n for n, line in enumerate(ending.lines) if line.startswith("torch.OutOfMemory"))

    fitting = [name for name, entry in CAUSES.errors.items() if entry.find_in(name, ending, index)]

    assert fitting == ["gpu-memory-graphs", "gpu-memory-run-time"]


def test_a_failing_rank_takes_the_others_with_it_and_is_the_cause() -> None:
    first = next(case for case in CASES if case.output == "gpu-memory-weights").lines()
    second = next(case for case in CASES if case.output == "nccl-failure").lines()
    third = next(case for case in CASES if case.output == "worker-killed-rank").lines()

    for lines in (first + second + third, second + third + first, third + first + second):
        cause = find_cause(ending_with(lines))
        assert cause is not None
        assert cause.name == "gpu-memory-weights"


def ending_with(
    lines: tuple[str, ...], returncode: int | None = -9, oom_kills: int = 0
) -> ServerEnd:
    return ServerEnd(
        returncode=returncode,
        phase=Phase.WEIGHTS,
        served=False,
        lines=lines,
        oom_kills=oom_kills,
        config=make_config(tp_size=2),
    )


CHILD_FAILED = "Received sigquit from a child process. It usually means the child failed."
UNKNOWN = (
    "[2026-11-23 10:30:44 TP0] Scheduler hit an exception: Traceback (most recent call last):",
    '  File "/venv/sglang/srt/managers/scheduler.py", line 6361, in run_scheduler_process',
    "    scheduler = Scheduler(server_args, port_args)",
    "KeyError: 'something new'",
    f"[2026-11-23 10:30:44] {CHILD_FAILED}",
    "[2026-11-23 10:30:44] kill_process_tree called: parent_pid=1, include_parent=True, pid=1",
)


@pytest.mark.parametrize("returncode", [-9, 0, 1, None])
def test_an_output_of_a_new_kind_has_no_known_cause(returncode: int | None) -> None:
    assert find_cause(ending_with(UNKNOWN, returncode)) is None


@pytest.mark.parametrize("returncode", [0, 1, 2, 3, None])
def test_an_ending_without_a_word_and_without_a_signal_has_no_known_cause(
    returncode: int | None,
) -> None:
    assert find_cause(ending_with((), returncode)) is None


@pytest.mark.parametrize("lines", [(), UNKNOWN])
@pytest.mark.parametrize("returncode", [-9, None])
def test_a_kill_that_the_kernel_counted_is_for_want_of_memory(
    lines: tuple[str, ...], returncode: int | None
) -> None:
    cause = find_cause(ending_with(lines, returncode, oom_kills=2))

    assert cause is not None
    assert (cause.name, cause.retry) == ("host-memory-kill", ONCE_SERVED)


def test_a_known_error_is_the_cause_although_the_kernel_killed_somebody_too() -> None:
    lines = next(case for case in CASES if case.output == "damaged-shard").lines()
    cause = find_cause(ending_with(lines, oom_kills=2))

    assert cause is not None
    assert cause.name == "damaged-shard"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGKILL, "killed-from-outside"),
        (signal.SIGTERM, "stopped-from-outside"),
        (signal.SIGINT, "stopped-from-outside"),
        (signal.SIGHUP, "stopped-from-outside"),
        (signal.SIGSEGV, "crashed-natively"),
        (signal.SIGABRT, "crashed-natively"),
        (signal.SIGBUS, "crashed-natively"),
    ],
)
def test_the_signal_tells_of_a_server_that_said_nothing(number: signal.Signals, name: str) -> None:
    cause = find_cause(ending_with(("INFO: 127.0.0.1 - GET /health 200",), -number))

    assert cause is not None
    assert cause.name == name
    assert cause.evidence == ()


@pytest.mark.parametrize(
    ("fraction", "says"),
    [
        (0.7, "Raise --mem-fraction-static from 0.7 to 0.8."),
        (0.3, "Raise --mem-fraction-static from 0.3 to 0.74."),
        (0.84, "Raise --mem-fraction-static from 0.84 to 0.94, with smaller graphs"),
        (0.9, "Raise --mem-fraction-static from 0.9 to 0.93, with smaller graphs"),
        (0.95, "Raise --tp-size from 2 to 4"),
        (None, "Raise --mem-fraction-static from 0.7 to 0.8."),  # the log has it
    ],
)
def test_a_pool_without_room_wants_a_larger_fraction_or_more_gpus(
    fraction: float | None, says: str
) -> None:
    case = next(case for case in CASES if case.output == "gpu-memory-pool-init")
    changed = Case(
        case.output, case.cause, NEVER, (), config={"tp_size": 2, "mem_fraction_static": fraction}
    )

    assert found(changed).action.startswith(says)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"mem_fraction_static": 0.7}, ("from 0.7 to 0.62", "decode 8")),
        ({"mem_fraction_static": 0.32}, ("from 0.32 to 0.3", "decode 8")),
        ({"max_running_requests": 4}, ("to 0.7, below what", "decode 2")),
        ({"max_running_requests": 1}, ("decode 1",)),
        ({"extra_args": ("--cuda-graph-max-bs-decode", "8")}, ("decode 4",)),
        ({"extra_args": ("--cuda-graph-max-bs-decode=6",)}, ("decode 3",)),
        ({"extra_args": ("--cuda-graph-max-bs-decode", "many")}, ("decode 8",)),
    ],
)
def test_graphs_without_room_want_a_smaller_fraction_or_fewer_requests(
    config: dict[str, Any], says: tuple[str, ...]
) -> None:
    action = found(Case("gpu-memory-graphs", "", NEVER, (), config=config)).action

    assert "Raise" not in action
    for text in says:
        assert text in action


def test_the_value_of_an_argument_for_sglang_is_read_in_both_spellings() -> None:
    config = make_config(extra_args=("--a", "1", "--b=2", "--a", "3", "--c"))

    assert [sglang_option(config, flag) for flag in ("--a", "--b", "--c", "--d")] == [
        "3",
        "2",
        "",
        None,
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.output)
def test_every_flag_that_is_advised_exists(case: Case) -> None:
    sglang = load_flag_table("0.5.23")
    launcher = {f"--{name.replace('_', '-')}" for name in ServerConfig.model_fields}
    advised = set(re.findall(r"--[a-z][\w-]*", found(case).action)) - OF_OTHER_PROGRAMS

    assert [flag for flag in advised - launcher if sglang.canonical(flag) is None] == []


def test_values_that_are_advised_are_taken_by_sglang() -> None:
    behind = {
        match
        for case in CASES
        for match in re.findall(r"`(?:-- )?(--[^`]+)`", found(case).action)
        if load_flag_table("0.5.23").canonical(match.split()[0])
    }

    assert len(behind) >= 5
    for arguments in behind:
        load_flag_table("0.5.23").check(("--model-path", "m", *arguments.split()))


def texts() -> st.SearchStrategy[str]:
    """Lines as they are, lines bent a little, and anything."""
    files = sorted(OUTPUTS.glob("*.txt"))
    real = st.sampled_from([line for file in files for line in file.read_text("utf-8").split("\n")])
    bent = st.tuples(real, st.text(max_size=8), st.integers(0, 300)).map(
        lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :]
    )
    numbers = st.tuples(real, st.sampled_from(["", "0", "999999999999999999999"])).map(
        lambda parts: re.sub(r"\d+", parts[1], parts[0])
    )
    return real | bent | numbers | st.text(max_size=80)


ENDINGS = st.builds(
    ServerEnd,
    returncode=st.none() | st.integers(-64, 255),
    phase=st.sampled_from(Phase),
    served=st.booleans(),
    lines=st.lists(texts(), max_size=12).map(tuple),
    oom_kills=st.integers(0, 3),
    config=st.sampled_from(
        [
            make_config(**fields)
            for fields in ({}, GPU, EAGLE, {"max_total_tokens": 1}, {"tp_size": 64})
        ]
    ),
)


@given(ENDINGS)
def test_no_output_whatever_makes_the_search_fail(ending: ServerEnd) -> None:
    cause = find_cause(ending)

    assert cause is None or cause.name in {*BY_NAME, *CAUSES.general}


def test_a_line_without_end_is_searched_only_so_far() -> None:
    tail = "RuntimeError: Cannot find any model weights with `/models/nano`"

    assert find_cause(ending_with(("x" * 60_000 + "\n" + tail,), 1)) is None
    assert find_cause(ending_with((tail + "x" * 60_000,), 1)) is not None


@pytest.mark.parametrize("text", ["a", "1", " ", "a.", "/", "Error: ", "Timed out after 1 ", "x: "])
def test_the_search_takes_no_longer_for_lines_made_to_hold_it_up(text: str) -> None:
    """A pattern that backtracked from every place of a line once took a fifth of a second each."""
    began = time.monotonic()

    find_cause(ending_with(((text * 2_000)[:2_000],) * 200))

    assert time.monotonic() - began < 20


def test_one_name_has_one_retry() -> None:
    assert {(name, entry.retry) for name, entry in ENTRIES} == {
        (name, entry.retry) for name, entry in BY_NAME.items()
    }


@pytest.mark.parametrize(
    ("package", "file", "text"),
    [
        (
            "sglang",
            "srt/mem_cache/kv_cache_configurator.py",
            "leave no GPU memory for the KV cache",
        ),
        ("sglang", "srt/mem_cache/kv_cache_configurator.py", "Raise --mem-fraction-static above "),
        ("sglang", "srt/model_executor/pool_configurator.py", "Not enough memory. Please try to"),
        ("sglang", "srt/model_executor/runner/decode_cuda_graph_runner.py", "Capture cuda graph"),
        ("sglang", "srt/model_executor/runner/prefill_cuda_graph_runner.py", "CUDA graph failed: "),
        ("sglang", "srt/speculative/eagle_draft_cuda_graph_runner.py", "Capture cuda graph failed"),
        ("sglang", "srt/model_loader/loader.py", "is not supported for the current GPU. "),
        ("sglang", "srt/model_loader/loader.py", "Cannot find any model weights with `"),
        ("sglang", "srt/model_loader/loader.py", "Supported dtypes: "),
        ("sglang", "srt/configs/model_config.py", "is greater than the derived context_length ("),
        ("sglang", "srt/configs/model_config.py", "Quantization method specified in the model con"),
        ("sglang", "srt/models/registry.py", "are not supported for now. "),
        ("sglang", "srt/models/glm4_moe.py", "Only 1 nextn layer is supported"),
        ("sglang", "srt/models/glm4_moe.py", "num_nextn_predict_layers is not in the config"),
        ("sglang", "srt/models/glm4_moe.py", "is greater than "),
        ("sglang", "srt/models/glm4_moe.py", "heads % attn_tp_size == 0"),
        ("sglang", "srt/distributed/utils.py", "{} is not divisible by {}"),
        ("sglang", "srt/utils/common.py", "No accelerator (CUDA"),
        ("sglang", "srt/utils/common.py", "less than the minimum required version"),
        ("sglang", "srt/utils/common.py", "include_parent="),
        ("sglang", "srt/utils/network.py", "is not available in "),
        ("sglang", "srt/utils/watchdog.py", "watchdog timeout "),
        ("sglang", "srt/utils/watchdog.py", "({self.watchdog_timeout=}, {self.soft=})"),
        ("sglang", "srt/utils/watchdog.py", "with exit code {proc.exitcode}. "),
        ("sglang", "srt/entrypoints/engine.py", "scheduler died during initialization "),
        ("sglang", "srt/entrypoints/engine.py", "Received sigquit from a child process"),
        ("sglang", "srt/managers/tokenizer_manager.py", "SIGQUIT received"),
        ("sglang", "srt/managers/scheduler.py", "Scheduler hit an exception"),
        ("sgl_kernel", "load_utils.py", "Could not load any common_ops library!"),
        ("flashinfer", "jit/cpp_ext.py", "Ninja build failed"),
        ("tvm_ffi", "cpp/extension.py", "ninja exited with status"),
        ("triton", "runtime/errors.py", "Required: {self.required}, Hardware limit: {self.limit}"),
        ("huggingface_hub", "utils/_http.py", "Cannot access gated repo for url"),
        ("huggingface_hub", "utils/_http.py", "Revision Not Found for url: "),
        ("huggingface_hub", "utils/_http.py", "Repository Not Found for url: "),
        ("transformers", "utils/hub.py", "We couldn't connect to '"),
        ("transformers", "utils/hub.py", "is not a valid git identifier"),
        ("transformers", "dynamic_module_utils.py", "contains custom code which must be executed"),
    ],
)
def test_the_installed_engine_still_prints_what_is_looked_for(
    package: str, file: str, text: str
) -> None:
    # Looked up without importing it, which would take ten seconds.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")

    assert text in (Path(spec.origin).parent / file).read_text(encoding="utf-8")
