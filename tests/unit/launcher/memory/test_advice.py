"""What a plan proposes where it does not fit, or only just."""

from __future__ import annotations

from dataclasses import replace

from launcher.memory.advice import nearest_changes
from launcher.memory.lines import Settings
from launcher.memory.plan import Verdict
from tests.unit.launcher.memory.test_plan import AIR, AIR_FP8, EAGLE, plan


def test_each_proposal_fits_by_its_own_plan_and_the_smallest_comes_first() -> None:
    planned = plan(
        AIR_FP8,
        "H100-80GB",
        replace(EAGLE, mem_fraction_static=0.7, context_length_tokens=65_536),
    )

    first, *others = nearest_changes(planned)

    assert first.flags == "--mem-fraction-static 0.77"
    assert first.plan.kv_cache_tokens_low >= 65_536
    one_step_less = plan(
        AIR_FP8, "H100-80GB", replace(first.plan.settings, mem_fraction_static=0.76)
    )
    # By what is usually taken it would be enough, but not with the margin.
    assert one_step_less.kv_cache_tokens >= 65_536
    assert one_step_less.verdict is Verdict.JUST_FITS
    assert {change.plan.verdict for change in others} == {Verdict.FITS}
    assert [change.flags for change in others] == ["--tp-size 4", "--context-length 8192"]


def test_what_does_not_fit_is_told_the_fp8_checkpoint_and_more_gpus() -> None:
    changes = nearest_changes(plan(AIR, "H100-80GB", replace(EAGLE, mem_fraction_static=0.7)))

    assert [change.flags for change in changes] == [
        "--model-path zai-org/GLM-4.5-Air-FP8",
        "--tp-size 4",
    ]
    assert all(change.plan.verdict is not Verdict.DOES_NOT_FIT for change in changes)


def test_two_settings_are_proposed_together_where_one_is_not_enough() -> None:
    changes = nearest_changes(plan(AIR_FP8, "H100-80GB", replace(EAGLE, mem_fraction_static=0.7)))

    assert changes[0].flags == "--mem-fraction-static 0.83 --kv-cache-dtype fp8_e4m3"


def test_what_just_fits_is_told_what_fits_for_certain() -> None:
    planned = plan(AIR_FP8, "H100-80GB", replace(EAGLE, context_length_tokens=129_000))

    changes = nearest_changes(planned)

    assert planned.verdict is Verdict.JUST_FITS
    assert changes
    assert {change.plan.verdict for change in changes} == {Verdict.FITS}


def test_where_nothing_fits_for_certain_what_just_fits_is_named() -> None:
    # No FP8 on an A100, no more than 16 ranks, and the context is one that the highest fraction has
    # room for by what is usually taken, but not with the margin.
    asked = Settings(tp_size=16, mem_fraction_static=0.7, context_length_tokens=2_230_000)

    first, shorter = nearest_changes(plan(AIR, "A100-80GB", asked))

    assert first.flags == "--mem-fraction-static 0.8"
    assert first.plan.verdict is Verdict.JUST_FITS
    assert shorter.flags.startswith("--context-length")
    assert shorter.plan.verdict is Verdict.FITS


def test_what_fits_is_left_alone() -> None:
    assert nearest_changes(plan(AIR_FP8, "H200")) == ()


def test_no_fp8_is_proposed_to_a_gpu_that_has_none() -> None:
    changes = nearest_changes(plan(AIR, "A100-80GB"))

    assert changes
    assert not any("FP8" in change.what for change in changes)
