"""`python -m launcher plan`, as it is typed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launcher.nano.folder import model_path
from tests.tiny_models import write_model
from tests.unit.launcher.memory.test_shape import LLAMA_3_8B, QWEN3_30B
from tests.unit.launcher.models.hub_server import running_hub


def run_plan(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SPECSERVE_")
    }
    return subprocess.run(
        [sys.executable, "-m", "launcher", "plan", *arguments],
        env=environment | {"NO_COLOR": "1", "COLUMNS": "120", "HF_HUB_OFFLINE": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def plan_json(*arguments: str) -> dict[str, Any]:
    answer = run_plan(*arguments, "--json")
    value: dict[str, Any] = json.loads(answer.stdout)
    return value | {"exit_code": answer.returncode}


def test_the_preset_is_planned_for_a_machine_that_is_not_here() -> None:
    planned = plan_json("GLM-4.5-Air-FP8", "--gpus", "2xH100-80GB")

    assert planned["exit_code"] == 0
    assert planned["verdict"] == "less_context"
    assert (planned["tp_size"], planned["mem_fraction_static"]) == (2, 0.7)
    assert planned["kv_cache_bytes_per_token"] == 96_256  # with the draft layer
    assert {"KV cache", "NextN layer", "experts"} <= {line["label"] for line in planned["lines"]}
    low, high = planned["kv_cache_tokens_low"], planned["kv_cache_tokens_high"]
    assert low < planned["kv_cache_tokens"] < high
    assert planned["changes"]


def test_a_model_that_does_not_fit_has_an_exit_code_and_is_told_what_would() -> None:
    answer = run_plan("GLM-4.5-Air", "--gpus", "2xH100-80GB", "--mem-fraction-static", "0.7")

    assert answer.returncode == 25
    assert "Does not fit" in answer.stdout
    assert "99.7 GiB of each rank" in answer.stdout
    assert "zai-org/GLM-4.5-Air-FP8" in answer.stdout
    assert answer.stderr == ""


def test_all_gpus_that_are_named_are_used_unless_ranks_are() -> None:
    assert plan_json("GLM-4.5-Air-FP8", "--gpus", "4xH100")["tp_size"] == 4
    assert plan_json("GLM-4.5-Air-FP8", "--gpus", "4xH100", "--tp-size", "2")["tp_size"] == 2


def test_a_local_folder_is_planned_from_its_config_alone(tmp_path: Path) -> None:
    shutil.copyfile(model_path() / "config.json", tmp_path / "config.json")

    planned = plan_json(str(tmp_path), "--max-total-tokens", "4096")

    assert planned["exit_code"] == 0
    assert planned["kv_cache_tokens"] == 4096


def test_more_ranks_than_gpus_are_refused() -> None:
    answer = run_plan("GLM-4.5-Air-FP8", "--gpus", "2xH100", "--tp-size", "4")

    assert answer.returncode == 26
    assert "needs 4 GPUs, and there are 2" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("/no/such/folder",), 22),
        (("--preset", "nano", "--gpus", "2xH1000"), 13),
        (("nobody/nothing", "--gpus", "H100"), 22),
    ],
)
def test_what_cannot_be_planned_has_an_exit_code(arguments: tuple[str, ...], code: int) -> None:
    answer = run_plan(*arguments)

    assert answer.returncode == code
    assert answer.stdout == ""
    assert "error: " in answer.stderr


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables under which a small hub is asked; it has one model, and one that is gated."""
    files = {
        "config.json": (model_path() / "config.json").read_bytes(),
        "model.safetensors": bytes(1_000_000),
        "consolidated.safetensors": bytes(10),
    }
    with running_hub() as server:
        server.add("owner/tiny", files)
        server.add("owner/gated", files, gated=True)
        server.add("owner/empty", {"README.md": b"nothing"})
        yield {
            "HF_ENDPOINT": server.endpoint,
            "HF_HUB_OFFLINE": "",
            "HF_HOME": str(tmp_path / "hub"),
        }


def test_a_model_that_is_not_here_is_planned_from_the_hub_s_metadata(
    hub: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("owner/tiny", "--gpus", "H100", "--max-total-tokens", "1000")

    answer = run_plan(*arguments, **hub)

    assert answer.returncode == 0
    assert f"owner/tiny at {hub['HF_ENDPOINT']}, commit" in answer.stdout
    assert "976.6 KiB on disk" in answer.stdout
    assert not (tmp_path / "hub").exists()  # nothing is kept


@pytest.mark.parametrize(
    ("model", "code"), [("owner/gated", 64), ("owner/nothing", 62), ("owner/empty", 22)]
)
def test_what_the_hub_refuses_is_told_apart(hub: dict[str, str], model: str, code: int) -> None:
    answer = run_plan(model, "--gpus", "H100", **hub)

    assert answer.returncode == code
    assert model in answer.stderr


def test_a_hub_that_is_away_is_not_waited_for(tmp_path: Path) -> None:
    answer = run_plan(
        *("owner/tiny", "--gpus", "H100"),
        HF_ENDPOINT="http://127.0.0.1:9",
        HF_HUB_OFFLINE="",
        HF_HOME=str(tmp_path),
    )

    assert answer.returncode == 61
    assert "Try again, or name a model folder." in answer.stderr


def test_a_config_that_is_no_model_s_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('["a list"]')

    answer = run_plan(str(tmp_path))

    assert answer.returncode == 17


REPOSITORY = "zai-org/GLM-4.5-Air-FP8"


def test_a_preset_that_was_taken_says_why_and_what_another_fraction_would_give() -> None:
    planned = plan_json("GLM-4.5-Air-FP8", "--gpus", "2xH100")
    shown = run_plan("GLM-4.5-Air-FP8", "--gpus", "2xH100").stdout
    own = plan_json("GLM-4.5-Air-FP8", "--gpus", "2xH100", "--mem-fraction-static=")

    assert planned["preset"] == "glm-4.5-air-fp8"
    assert planned["preset_reason"] == f"its model is {REPOSITORY}"
    assert planned["preset_not_taken"] is None
    assert planned["mem_fraction_static_source"] == "preset glm-4.5-air-fp8"
    assert own["mem_fraction_static_source"] == "sglang"
    assert planned["own_fraction_plan"] == own["own_fraction_plan"]
    assert planned["own_fraction_plan"]["kv_cache_tokens"] == own["kv_cache_tokens"]
    assert "0.7, by preset glm-4.5-air-fp8; SGLang's own choice, 0.833, would give" in shown
    assert f"{own['kv_cache_tokens']:,} tokens" in shown


def test_a_preset_that_was_not_taken_is_named_with_what_it_would_set_and_give() -> None:
    arguments = ("--model-path", REPOSITORY, "--tp-size", "2", "--gpus", "2xH100")
    planned = plan_json(*arguments)
    shown = run_plan(*arguments).stdout
    taken = plan_json("GLM-4.5-Air-FP8", "--gpus", "2xH100")

    assert (planned["preset"], planned["preset_reason"]) == ("custom", "a model was named")
    not_taken = planned["preset_not_taken"]
    assert not_taken["name"] == "glm-4.5-air-fp8"
    assert not_taken["would_set"]["mem_fraction_static"] == {"preset": 0.7, "here": None}
    assert "tp_size" not in not_taken["would_set"]  # the same
    assert not_taken["plan"]["kv_cache_tokens"] == taken["kv_cache_tokens"]
    assert "0.828, SGLang's own choice" in shown
    assert "mem_fraction_static 0.7 (here unset)" in shown
    assert "speculation EAGLE 3/1/4 (here off)" in shown
    assert f"With it: {taken['kv_cache_tokens']:,} tokens" in shown


@pytest.mark.parametrize(
    ("given", "variables", "source"),
    [
        (("--mem-fraction-static", "0.8"), {}, "--mem-fraction-static"),
        ((), {"SPECSERVE_MEM_FRACTION_STATIC": "0.8"}, "SPECSERVE_MEM_FRACTION_STATIC"),
    ],
)
def test_a_fraction_that_was_given_says_by_what(
    given: tuple[str, ...], variables: dict[str, str], source: str
) -> None:
    answer = run_plan("GLM-4.5-Air-FP8", "--gpus", "2xH100", *given, **variables)

    assert f"0.8, by {source}; SGLang's own choice, 0.833, would give" in answer.stdout


def test_ranks_that_up_would_not_take_are_told() -> None:
    planned = plan_json("GLM-4.5-Air-FP8", "--gpus", "4xH100")
    shown = run_plan("GLM-4.5-Air-FP8", "--gpus", "4xH100").stdout

    assert (planned["tp_size"], planned["tp_size_of_up"]) == (4, 2)
    assert planned["tp_size_source"] == "--gpus"
    assert "4, one for each GPU of --gpus; `up` takes 2 unless --tp-size says otherwise" in shown


def test_of_a_machine_that_is_not_here_nothing_is_free_now() -> None:
    named = plan_json("GLM-4.5-Air-FP8", "--gpus", "2xH100")["lines"][0]["label"]
    here = plan_json("nano")["lines"][0]["label"]

    assert (named, here) == ("the card's memory", "free now")


def test_a_preset_for_the_cpu_says_that_the_named_gpus_are_not_used() -> None:
    planned = plan_json("nano", "--gpus", "2xH100")
    on_gpus = plan_json("nano", "--gpus", "2xH100", "--device", "cuda")

    assert (planned["device"], planned["tp_size"]) == ("CPU", 1)
    assert "the GPUs with --device cuda" in run_plan("nano", "--gpus", "2xH100").stdout
    assert (on_gpus["device"], on_gpus["tp_size"]) == ("H100-80GB", 2)
    assert on_gpus["kv_cache_tokens"] > 65_536  # the CPU's limit


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("glm-4.5-air-fp9",), 22, "did you mean 'glm-4.5-air-fp8'?"),
        (("Foo", "--gpus", "H100"), 22, "no folder here"),
        (("nano", "--gpus="), 13, "it is not of the form COUNTxNAME"),
        (("nano", "--preset", "custom"), 2, "both name a preset"),
        (("nano", "--model-path", "owner/name"), 2, "both name a model"),
        (("--table", "--explain"), 2, "three answers"),
        (("nano", "--table"), 2, "three answers"),
    ],
)
def test_what_is_asked_for_twice_or_not_there_is_refused(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    answer = run_plan(*arguments)

    assert answer.returncode == code
    assert words in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize(
    "arguments", [("GLM-4.5-Air-FP8", "--gpus", "2xH100"), ("--table",), ("nano",)]
)
def test_what_is_piped_has_no_colour_and_tables_of_the_width(arguments: tuple[str, ...]) -> None:
    shown = run_plan(*arguments, COLUMNS="80", NO_COLOR="").stdout
    rows = [line for line in shown.splitlines() if re.search(r" {2,}[-=\d]", line)]

    assert "\x1b" not in shown
    assert rows
    assert max(map(len, rows)) <= 80
    assert "…" not in shown


def test_the_table_has_every_model_on_every_machine() -> None:
    answer = run_plan("--table")
    cells = json.loads(run_plan("--table", "--json").stdout)["cells"]

    assert answer.returncode == 0
    assert len(cells) == 6 * 8
    for word in ("16xH200", "GLM-4.5-Air-FP8", "GLM-4.6", "preset glm-4.5-air-fp8 sets 0.7"):
        assert word in answer.stdout
    (row,) = [line for line in answer.stdout.splitlines() if line.startswith("static fraction")]
    assert row.split()[2:4] == ["0.833", "0.83"]
    assert {cell["mem_fraction_static_source"] for cell in cells} == {"sglang"}


def test_two_ranks_on_a_cpu_are_warned_of_the_memory_that_both_take() -> None:
    warned = run_plan("--preset", "nano", "--tp-size", "2", "--max-total-tokens", "")
    capped = run_plan("--preset", "nano", "--tp-size", "2")

    assert "set --max-total-tokens" in warned.stdout.replace("\n", " ")
    assert "set --max-total-tokens" not in capped.stdout


def folder_of(tmp_path: Path, config: dict[str, Any]) -> str:
    """A model folder with that config.json, and nothing else."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


def test_ranks_that_sglang_would_refuse_are_refused_with_its_own_condition(tmp_path: Path) -> None:
    answer = run_plan(folder_of(tmp_path, LLAMA_3_8B), "--gpus", "4xH100", "--tp-size", "3")

    said = " ".join(answer.stderr.split())
    assert answer.returncode == 31
    assert "assert total_num_heads % attn_tp_size == 0" in said
    assert "Use --tp-size 2." in said


def test_experts_that_are_no_whole_blocks_are_refused(tmp_path: Path) -> None:
    fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    folder = folder_of(tmp_path, QWEN3_30B | {"quantization_config": fp8})

    refused = run_plan(folder, "--gpus", "4xH100")

    assert refused.returncode == 31
    assert "768/4=192, is no multiple of 128" in " ".join(refused.stderr.split())
    assert plan_json(folder, "--gpus", "2xH100")["exit_code"] == 0


def test_a_latent_attention_is_planned_and_does_not_fit() -> None:
    arguments = ("GLM-4.7-Flash", "--gpus", "RTX5090", "--mem-fraction-static", "0.85")

    planned = plan_json(*arguments)

    assert planned["exit_code"] == 25
    assert planned["verdict"] == "does_not_fit"
    # 30e9 parameters in BF16, and the KV projections once more.
    assert planned["weights_bytes"] == pytest.approx(60e9, rel=0.02)
    # (512 + 64) x 47 layers x 2 bytes.
    assert planned["kv_cache_bytes_per_token"] == 54_144
    assert plan_json("GLM-4.7-Flash", "--gpus", "4xH100")["kv_cache_bytes_per_token"] == 54_144


def test_the_speed_is_bounded_where_it_is_asked_for() -> None:
    arguments = ("GLM-4.5-Air-FP8", "--gpus", "2xH100", "--speed-requests", "1,3,4", "--speed")
    speed = plan_json(*arguments)["speed"]
    shown = run_plan(*arguments).stdout

    assert "upper bound" in speed["is"]
    assert speed["missing"] is None
    assert [bound["requests"] for bound in speed["bounds"]] == [1, 3, 4]
    assert {bound["context_tokens"] for bound in speed["bounds"]} == {4096}
    assert speed["bounds"][0]["bandwidth_bytes_per_second"] == 3_350 * 10**9
    assert speed["bounds"][1]["obstacle"] is None
    assert speed["bounds"][2]["obstacle"] == "the KV cache has room for 3"
    rate = speed["bounds"][0]["tokens_per_second_at_most"]
    assert f"       1  {rate:,.0f}" in shown
    for words in (
        "3,350 GB/s a rank",
        "no forecast",
        "experts reached 7% to 20% of it",
        "not measured",
    ):
        assert words in shown
    assert "speed" not in run_plan("GLM-4.5-Air-FP8", "--gpus", "2xH100").stdout.lower()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nano",), "the memory bandwidth of a CPU is not known"),
        (("GLM-4.5-Air", "--gpus", "2xH100"), "it does not fit"),
    ],
)
def test_where_the_speed_has_no_bound_the_reason_is_told(
    arguments: tuple[str, ...], why: str
) -> None:
    assert f"No bound of the speed: {why}." in run_plan(*arguments, "--speed").stdout
    assert plan_json(*arguments, "--speed")["speed"]["missing"] == why


@pytest.mark.parametrize("value", ["", "0", "1,x", "-1"])
def test_a_list_of_requests_that_is_none_is_refused(value: str) -> None:
    answer = run_plan("nano", f"--speed-requests={value}")

    assert answer.returncode == 2
    assert "no list of counts" in answer.stderr


def test_what_a_cpu_cannot_run_is_refused_before_it_is_planned(tmp_path: Path) -> None:
    folder = write_model("deepseek-v2", tmp_path)

    answer = run_plan(str(folder), "--device", "cpu")

    assert answer.returncode == 32
    assert "latent attention (MLA)" in " ".join(answer.stderr.split())
    assert plan_json(str(folder), "--gpus", "H100")["verdict"] == "fits"
