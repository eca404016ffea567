"""A model's config.json, whatever bytes are in it, and what cannot be planned from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launcher.errors import LauncherError, ModelNotFoundError, UnknownShapeError
from launcher.memory.known_shapes import KNOWN_SHAPES
from launcher.memory.plan import MemoryPlan, Verdict
from launcher.preflight.facts import ServingFacts
from launcher.preflight.fit import FoundShape, find_shape, plan_config
from launcher.system.hardware import GIB, Gpu, Hardware
from tests.unit.launcher.examples import make_config


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", ModelNotFoundError),
        (b"\xff\xfe{", ModelNotFoundError),
        (b"[" * 100_000, ModelNotFoundError),
        (b'{"architectures": NaN}', UnknownShapeError),
        (b'["a list"]', UnknownShapeError),
        (b"null", UnknownShapeError),
        (b'{"architectures": ["LlamaForCausalLM"], "hidden_size": 1e999}', UnknownShapeError),
    ],
)
def test_a_file_that_is_no_model_s_is_refused(
    tmp_path: Path, content: bytes, error: type[LauncherError]
) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(error) as caught:
        find_shape(str(tmp_path))

    assert caught.value.action


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_error_of_the_project(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(LauncherError):
        find_shape(str(tmp_path))


AIR = KNOWN_SHAPES["zai-org/GLM-4.5-Air"]
H100 = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, (9, 0))
MACHINE = Hardware((H100,), "all", (0, 1), 64 * GIB)


def plan_of(*arguments: str) -> MemoryPlan:
    config = make_config(mem_fraction_static=0.7, extra_args=arguments)
    found = FoundShape("zai-org/GLM-4.5-Air", AIR, "a test")
    return plan_config(config, MACHINE, (H100,), found=found)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--quantization", "fp8"),
        ("--quantization=fp8",),
        ("--cpu-offload-gb", "40"),
        ("--pp-size", "2"),
        ("--page-size", "64", "--enable-lora"),
    ],
)
def test_what_changes_the_weights_behind_the_dashes_is_not_planned(
    arguments: tuple[str, ...],
) -> None:
    # Without it the model does not fit, and `up` would refuse what might serve.
    assert plan_of().verdict is Verdict.DOES_NOT_FIT

    with pytest.raises(UnknownShapeError) as caught:
        plan_of(*arguments)

    assert arguments[0].partition("=")[0] in caught.value.problem or "--enable-lora" in arguments


@pytest.mark.parametrize(
    "arguments", [("--page-size", "64"), ("--pp-size", "1"), ("--cpu-offload-gb=0",)]
)
def test_other_arguments_leave_the_plan_as_it_is(arguments: tuple[str, ...]) -> None:
    assert plan_of(*arguments) == plan_of()


def test_up_goes_on_without_a_plan() -> None:
    config = make_config(
        model_path="zai-org/GLM-4.5-Air", extra_args=("--quantization", "fp8"), device="cuda"
    )

    assert ServingFacts(config, MACHINE).plan is None
