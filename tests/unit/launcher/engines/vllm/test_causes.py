"""Why vLLM ends: by lines of its own, by failures that people reported, by the way it ended."""

from __future__ import annotations

import re
import signal

import pytest

from launcher.diagnosis.foreign import diagnose_output
from launcher.diagnosis.search import find_cause
from launcher.diagnosis.unexplained import engines_words
from launcher.engines.causes import Cause, Confidence, Retry, ServerEnd
from launcher.engines.output import python_errors
from launcher.engines.phases import Phase
from launcher.engines.select import engine_of_output
from launcher.engines.vllm.causes import arguments, gpu, memory, model
from launcher.engines.vllm.causes.table import CAUSES
from launcher.engines.vllm.engine import VllmEngine
from launcher.engines.vllm.version import VERIFIED_VERSION
from tests.unit.launcher.engines.vllm.public.case import Case
from tests.unit.launcher.examples import make_config

KNOWN, HELD_OUT = Case.read("known"), Case.read("held_out")
LOG_CAUSES = {**CAUSES.echoes, **CAUSES.errors}


def ended(
    *lines: str, returncode: int | None = 1, served: bool = False, oom_kills: int = 0
) -> ServerEnd:
    return ServerEnd(
        returncode=returncode,
        phase=Phase.READY if served else Phase.WARM_UP,
        served=served,
        lines=lines,
        oom_kills=oom_kills,
        config=make_config(engine="vllm"),
    )


def cause_of(*lines: str, **settings: object) -> Cause:
    cause = find_cause(ended(*lines, **settings), CAUSES)  # type: ignore[arg-type]
    assert cause is not None
    return cause


@pytest.mark.parametrize("name", [name for name, cause in LOG_CAUSES.items() if cause.sample])
def test_the_sample_of_a_cause_is_found_as_that_cause(name: str) -> None:
    lines = tuple(LOG_CAUSES[name].sample.split("\n"))

    # One traceback, or lines of which each tells it.
    for output in [lines] if lines[0].startswith("Traceback") else [(line,) for line in lines]:
        assert cause_of(*output).name == name, output


@pytest.mark.parametrize("name", [name for name, cause in CAUSES.errors.items() if cause.sample])
def test_it_is_found_behind_what_vllm_puts_before_each_line(name: str) -> None:
    before = "(EngineCore_DP0 pid=372) ERROR 03-09 01:15:14 [core.py:1006] "
    sample = LOG_CAUSES[name].sample.split("\n")
    output = sample if sample[0].startswith("Traceback") else sample[:1]

    assert cause_of(*(before + line for line in output)).name == name


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case.report)
def test_a_report_that_the_table_was_written_with(case: Case) -> None:
    cause = case.find()

    assert cause is not None
    assert cause.name == case.cause


def test_reports_that_were_kept_until_the_table_was_done() -> None:
    """The score of the day on which it was done; docs/vllm.md tells of it."""
    right = [case for case in HELD_OUT if (cause := case.find()) and cause.name == case.cause]

    assert (len(right), len(HELD_OUT)) == (25, 25)


def test_the_halves_have_nothing_in_common_and_cover_many_kinds() -> None:
    assert not {case.report for case in KNOWN} & {case.report for case in HELD_OUT}
    assert len({case.cause for case in (*KNOWN, *HELD_OUT)}) >= 15


@pytest.mark.parametrize("case", [*KNOWN, *HELD_OUT], ids=lambda case: case.report)
def test_what_is_advised_is_whole_and_exists(case: Case) -> None:
    cause = case.find()
    assert cause is not None
    engine = VllmEngine()

    for sentence in (cause.summary, cause.action):
        assert sentence.endswith(".")
        assert "{" not in sentence
        assert "  " not in sentence
    for flag in re.findall(r"`-- (--[a-z][\w-]+)", cause.action):
        assert engine.own_option(flag, VERIFIED_VERSION) is not None, flag
    assert cause.evidence


@pytest.mark.parametrize("case", [*KNOWN, *HELD_OUT], ids=lambda case: case.report)
def test_a_log_of_vllm_is_known_for_one(case: Case) -> None:
    # Of a line or two, or of another program's that runs it, nobody could tell.
    if any("vllm" in line or "EngineCore" in line for line in case.lines):
        assert isinstance(engine_of_output(case.lines), VllmEngine)


@pytest.mark.parametrize(
    ("returncode", "served", "oom_kills", "name", "retry"),
    [
        (-signal.SIGKILL, True, 0, "killed-from-outside", Retry.ALWAYS),
        (-signal.SIGKILL, True, 1, "host-memory-kill", Retry.ONCE_SERVED),
        (-signal.SIGSEGV, True, 0, "crashed-natively", Retry.ONCE_SERVED),
        (-signal.SIGTERM, False, 0, "stopped-from-outside", Retry.ALWAYS),
        (0, True, 0, "stopped-from-outside", Retry.ALWAYS),
    ],
)
def test_the_way_it_ended_tells_of_a_server_that_said_nothing(
    returncode: int, oom_kills: int, name: str, retry: Retry, *, served: bool
) -> None:
    cause = cause_of(
        "INFO:     Application startup complete.",
        returncode=returncode,
        served=served,
        oom_kills=oom_kills,
    )

    assert (cause.name, cause.retry) == (name, retry)


def test_what_the_configuration_says_is_part_of_the_advice() -> None:
    line = (
        "ValueError: To serve at least one request with the model's max seq len (131072), (12.0 "
        "GiB KV cache is needed, which is larger than the available KV cache memory (3.0 GiB)."
    )
    config = make_config(engine="vllm", gpu_memory_utilization=0.97, tp_size=2)
    end = ServerEnd(1, Phase.KV_CACHE, served=False, lines=(line,), oom_kills=0, config=config)

    cause = find_cause(end, CAUSES)

    # Without vLLM's own estimate, by the share of what is needed.
    assert cause is not None
    assert "--context-length 32768" in cause.action
    assert "--tp-size from 2 to 4" in cause.action


def test_a_refusal_that_no_table_holds_is_quoted() -> None:
    cause = cause_of(
        "Traceback (most recent call last):",
        '  File "/env/site-packages/vllm/engine/arg_utils.py", line 10, in create_engine_config',
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig",
        "  Value error, A and B do not go together. [type=value_error, input_value=Args()]",
    )

    assert (cause.name, cause.confidence) == ("argument-refused", Confidence.LIKELY)
    assert cause.summary == "vLLM refuses this configuration: A and B do not go together."


def test_an_unknown_error_is_quoted_with_what_vllm_was_doing() -> None:
    before = "(Worker_TP0 pid=9) ERROR 03-09 01:15:14 [multiproc_executor.py:857] "
    end = ended(
        f"{before}WorkerProc hit an exception.",
        f"{before}Traceback (most recent call last):",
        f'{before}  File "/env/site-packages/vllm/model_executor/model_loader/a.py", line 3, in b',
        f"{before}    c()",
        f"{before}RuntimeError: something new",
    )

    assert find_cause(end, CAUSES) is None
    assert python_errors(end.lines)[0].frames[-1].code == "c()"
    assert engines_words(end, CAUSES).headline == (
        "The engine raised RuntimeError: something new in vllm/model_executor/model_loader/a.py "
        "while it loaded weights."
    )


def test_at_least_fifteen_kinds_are_vllms_own() -> None:
    assert len({*memory.ERRORS, *gpu.ERRORS, *model.ERRORS, *arguments.ERRORS}) >= 15
    for name, cause in LOG_CAUSES.items():
        assert cause.looks or cause.sample, name
        assert bool(cause.remedy) == callable(cause.action), name


LOST = """\
(APIServer pid=1) INFO 11-30 10:05:16 [api_utils.py:286] non-default args: {'model': '/models/x'}
INFO:     Application startup complete.
(EngineCore pid=2) ERROR 11-30 10:24:04 [multiproc_executor.py:315] Worker proc VllmWorker-0 died \
unexpectedly (exit code: -9), shutting down executor.
INFO:     Shutting down
INFO:     Application shutdown complete."""
ASKED = """\
(APIServer pid=1) INFO 11-30 10:05:16 [api_utils.py:286] non-default args: {'model': '/models/x'}
INFO:     Application startup complete.
(APIServer pid=1) INFO 11-30 10:35:51 [launcher.py:254] [shutdown] API server: shutdown triggered
INFO:     Shutting down
INFO:     Application shutdown complete."""


@pytest.mark.parametrize("exit_code", [0, None])
@pytest.mark.parametrize(("log", "cause"), [(LOST, "worker-killed"), (ASKED, "no-failure")])
def test_a_log_alone_tells_a_lost_worker_from_a_stop(
    log: str, cause: str, exit_code: int | None
) -> None:
    lines = log.split("\n")

    found = diagnose_output(lines, engine_of_output(lines), exit_code=exit_code)

    assert found.cause == cause
