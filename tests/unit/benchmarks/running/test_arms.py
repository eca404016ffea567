"""Arms as people name them."""

from __future__ import annotations

import pytest

from benchmarks.errors import PlanError
from benchmarks.plan import Arm
from benchmarks.running.arms import eagle, option_of, parse_arm, parse_field
from benchmarks.running.servers import configuration, server_name
from benchmarks.running.tuning import candidates


@pytest.mark.parametrize(
    "arm",
    [
        *candidates(),
        *map(
            parse_arm,
            (
                "ngram",
                "old=http://127.0.0.1:8000/v1",
                "eagle-1=speculative_num_steps:2",
                "plain=speculative_algorithm:EAGLE",
                "x=mem_fraction_static:0.8,speculative_draft_model_path:,served_model_name:'8',device:1e-5",
            ),
        ),
    ],
)
def test_an_arm_can_be_written_as_the_option_that_gives_it(arm: Arm) -> None:
    assert parse_arm(option_of(arm)) == arm


def test_an_arm_is_written_in_its_short_form_where_it_has_one() -> None:
    assert [option_of(arm) for arm in candidates(((5, 4, 8),))] == ["plain", "eagle:5/4/8"]


def test_plain_unsets_speculation() -> None:
    assert configuration(parse_arm("plain"), {"preset": "nano"}).speculative_algorithm is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("eagle", (3, 1, 4)), ("eagle:5/4/8", (5, 4, 8)), ("eagle:1/1/2", (1, 1, 2))],
)
def test_eagle_has_the_numbers_that_are_asked_for(text: str, numbers: tuple[int, int, int]) -> None:
    arm = parse_arm(text)
    config = configuration(arm, {"preset": "nano"})

    assert arm.name == "eagle-{}-{}-{}".format(*numbers)
    assert arm == eagle(*numbers)
    assert (
        config.speculative_num_steps,
        config.speculative_eagle_topk,
        config.speculative_num_draft_tokens,
    ) == numbers


def test_ngram_takes_none_of_the_preset_s_numbers() -> None:
    config = configuration(parse_arm("ngram"), {"preset": "nano"})

    assert config.speculative_algorithm == "NGRAM"
    assert config.speculative_num_steps is None


def test_a_server_that_runs_is_named_by_its_url() -> None:
    arm = parse_arm("old=http://127.0.0.1:8000")

    assert (arm.name, arm.url, arm.fields) == ("old", "http://127.0.0.1:8000", {})


def test_any_field_of_the_launcher_makes_an_arm() -> None:
    arm = parse_arm("fp8=kv_cache_dtype:fp8_e4m3,max-running-requests:8,speculative_algorithm:")

    assert arm.fields == {
        "kv_cache_dtype": "fp8_e4m3",
        "max_running_requests": 8,
        "speculative_algorithm": None,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("egale", "did you mean"),
        ("eagle:3", "Not an arm"),
        ("x=colour:red", "no field 'colour'"),
        ("x=port", "has no value"),
        ("not a name=http://h", "Not an arm"),
        ("", "Not an arm"),
    ],
)
def test_what_is_no_arm_says_what_arms_are(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said) as caught:
        parse_arm(text)

    assert caught.value.exit_code == 70
    assert caught.value.action


def test_numbers_that_contradict_each_other_are_refused_before_anything_starts() -> None:
    with pytest.raises(PlanError, match="eagle-3-1-8.*must be 4"):
        configuration(parse_arm("eagle:3/1/8"), {"preset": "nano"})


def test_a_field_without_a_value_is_unset() -> None:
    assert parse_field("reasoning_parser", " ") == {"reasoning_parser": None}


def test_a_server_s_name_is_one_that_the_launcher_takes() -> None:
    arm = parse_arm("a.b_c-1=http://h")

    assert server_name(arm, "0a1b2c3d") == "bench-0a1b2c3d-a.b_c-1"


@pytest.mark.parametrize("field", ["name", "port", "restart", "admin_key_file"])
def test_what_each_start_chooses_for_itself_cannot_be_planned(field: str) -> None:
    with pytest.raises(PlanError, match=f"sets {field}"):
        configuration(parse_arm("plain"), {"preset": "nano", field: "x"})
