"""The command line without a server: what is refused, with which words and which exit code."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from launcher import errors
from launcher.cli import main
from launcher.config.sources import resolve
from launcher.nano.folder import model_path
from launcher.preflight import prepare
from launcher.state.paths import servers_root
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.system import hardware
from tests.unit.launcher.examples import make_record


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process, on a machine without a GPU."""
    laptop = hardware.Hardware((), "no driver", hardware.usable_cpus(), 16 * hardware.GIB)
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: laptop)

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["launcher", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        captured = capsys.readouterr()
        return Done(int(end.value.code or 0), captured.out, captured.err)

    return call


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("--host", "0.0.0.0"), {}, "there is no API key"),  # noqa: S104
        (("--api-key-file", "/dev/zero"), {}, "not a file"),
        ((), {"LAUNCHER_API_KEY": "short"}, "has 5 characters"),
        (("--", "--delete-ckpt-after-loading"), {}, "removes the model's files"),
    ],
)
def test_a_dry_run_refuses_what_a_start_refuses(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    said: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = run("up", "--dry-run", "--preset", "nano", *arguments)
    assert done.code in {10, 13}
    assert said in done.err
    assert done.out == ""


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_code_that_comes_with_a_model_is_warned_of(run: Run, arguments: tuple[str, ...]) -> None:
    done = run("up", "--dry-run", "--preset", "nano", "--trust-remote-code", *arguments)

    assert done.code == 0
    assert "trust_remote_code is on: Python code that comes with" in done.err
    assert "--trust-remote-code" in done.out


def test_variables_are_given_one_by_one_and_shown(run: Run) -> None:
    variables = ("--environment", "NCCL_DEBUG=INFO", "--environment", "A=b c")
    shown = json.loads(run("up", "--dry-run", "--preset", "nano", *variables, "--json").out)
    said = run("up", "--dry-run", "--preset", "nano", *variables)

    assert shown["environment"]["NCCL_DEBUG"] == "INFO"
    assert shown["environment"]["A"] == "b c"
    assert "A='b c' \\\n" in said.out


def test_variables_on_the_command_line_replace_those_of_weaker_sources(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECSERVE_ENVIRONMENT", "A=1 B=2")

    def shown(*arguments: str) -> list[str]:
        done = run("config", "show", "--preset", "nano", "--json", *arguments)
        return list(json.loads(done.out)["config"]["environment"])

    assert shown() == ["A=1", "B=2"]
    assert shown("--environment", "C=3") == ["C=3"]
    assert shown("--environment", "") == []


def test_a_cpu_is_given_no_copies(run: Run) -> None:
    done = run("up", "--dry-run", "--preset", "nano", "--dp-size", "2")

    assert done.code == errors.ConfigError.exit_code
    assert "tensor parallel ranks only" in done.err


def test_a_dry_run_prints_the_whole_command_and_starts_nothing(run: Run) -> None:
    done = run("up", "--dry-run", "--port", "8123")
    assert done.code == 0
    assert "-m sglang.launch_server" in done.out
    assert "--port 8123" in done.out
    assert "--speculative-eagle-topk 1" in done.out
    assert "SGLANG_USE_CPU_ENGINE=1" in done.out
    assert not servers_root().exists()


def test_the_preset_for_two_gpus_is_the_one_the_project_is_named_for(run: Run) -> None:
    done = run("up", "--dry-run", "--preset", "glm-4.5-air-fp8", "--json")
    argv = json.loads(done.out)["argv"]
    # The file with the keys, which is there while the server starts.
    assert argv[3] == "--config"
    assert [argv[2], *argv[5:]] == [
        *("sglang.launch_server", "--model-path", "zai-org/GLM-4.5-Air-FP8"),
        *("--served-model-name", "glm-4.5-air", "--host", "127.0.0.1", "--port", "8000"),
        *("--device", "cuda", "--tp-size", "2", "--dtype", "auto"),
        *("--mem-fraction-static", "0.7"),
        *("--speculative-algorithm", "EAGLE", "--speculative-num-steps", "3"),
        *("--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", "4"),
        *("--tool-call-parser", "glm45", "--reasoning-parser", "glm45"),
        *("--constrained-json-disable-any-whitespace", "--enable-cache-report"),
        "--enable-metrics",
    ]


def test_no_speculation_leaves_every_speculative_flag_out(run: Run) -> None:
    done = run("up", "--dry-run", "--no-speculation")
    assert "speculative" not in done.out


def test_arguments_after_two_dashes_are_passed_through(run: Run) -> None:
    done = run("up", "--dry-run", "--", "--log-level", "debug", "--disable-radix-cache")
    assert done.code == 0
    assert "--log-level debug" in done.out
    assert "--disable-radix-cache" in done.out


def test_without_a_gpu_a_line_says_why_the_nano_model_is_served(run: Run) -> None:
    done = run("up", "--dry-run")
    assert done.err.startswith("Preset nano: no NVIDIA GPU was found")


def test_a_named_preset_needs_no_explanation(run: Run) -> None:
    assert run("up", "--dry-run", "--preset", "nano").err == ""


Case = tuple[str, list[str], type[errors.LauncherError], str]
REFUSED: list[Case] = [
    ("a preset that does not exist", ["--preset", "nanoo"], errors.UnknownPresetError, "'nano'"),
    ("a value of the wrong type", ["--port", "http"], errors.InvalidValueError, "port (flag)"),
    ("a value out of range", ["--port", "70000"], errors.InvalidValueError, "65535"),
    (
        "draft tokens that do not fit the steps",
        ["--speculative-num-draft-tokens", "7"],
        errors.InvalidValueError,
        "must be 4, not 7",
    ),
    (
        "an address that others reach, without a key",
        ["--host", "0.0.0.0"],  # noqa: S104  # it is refused
        errors.InvalidValueError,
        "--insecure",
    ),
    ("a model folder that does not exist", ["--model-path", "/no/such"],
     errors.ModelNotFoundError, "/no/such"),
    ("a GPU preset without a GPU", ["--preset", "glm-4.5-air-fp8"], errors.NoGpuError, "no NVIDIA"),
    ("a flag that SGLang does not know", ["--", "--tree-top", "1"], errors.UnknownFlagError,
     "--tree-top"),
    ("a value that SGLang does not take", ["--", "--max-prefill-tokens"], errors.UnknownFlagError,
     "expected one argument"),
    ("a key in the arguments", ["--", "--api-key", "hunter2-hunter2"],
     errors.SecretInArgumentsError, "--api-key"),
    ("a server that speaks TLS", ["--", "--ssl-certfile", "/c"], errors.ConfigError,
     "cannot watch"),
    ("machines that would not find each other", ["--nnodes", "2", "--tp-size", "2"],
     errors.InvalidValueError, "dist_init_addr is not set"),
    ("a machine that is none of them", ["--node-rank", "1"], errors.InvalidValueError,
     "none of nnodes 1"),
    ("ranks that do not divide among machines", ["--", "--nnodes", "2"], errors.InvalidValueError,
     "do not divide"),
    ("a home folder that does not exist", ["--model-path", "~nosuchuser/m"],
     errors.InvalidValueError, "cannot be looked at"),
    ("two values for one setting", ["--port", "1", "--", "--port", "2"], errors.ConfigError,
     "--port"),
    ("a key file that is missing", ["--api-key-file", "/no/key"], errors.InvalidValueError,
     "/no/key"),
    ("a config file that is missing", ["--config", "/no/c.yaml"], errors.ConfigFileError,
     "/no/c.yaml"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_is_refused_with_its_own_exit_code_and_leaves_nothing(
    run: Run, arguments: list[str], error: type[errors.LauncherError], said: str
) -> None:
    done = run("up", *arguments)
    assert done.code == error.exit_code
    assert said in " ".join(done.err.split())
    assert "-> " in done.err
    assert "hunter2" not in done.err + done.out
    assert not servers_root().exists()


def test_a_refusal_is_json_where_json_is_asked_for(run: Run) -> None:
    done = run("up", "--json", "--preset", "nanoo")
    refusal = json.loads(done.out)
    assert refusal["error"] == "UnknownPresetError"
    assert refusal["exit_code"] == done.code == 11


def test_a_taken_port_is_refused_and_its_holder_named(run: Run) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        done = run("up", "--port", str(holder.getsockname()[1]))
    assert done.code == errors.PortInUseError.exit_code
    assert "process" in done.err


def test_a_weight_file_that_was_cut_short_is_named(run: Run, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(model_path(), model)
    weights = model / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size - 1000)
    done = run("up", "--model-path", str(model))
    assert done.code == errors.ModelIncompleteError.exit_code
    assert "model.safetensors" in done.err


def test_a_weight_file_from_the_hub_with_another_hash_is_named(run: Run, tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--nano"
    snapshot = repository / "snapshots" / "0123"
    shutil.copytree(model_path(), snapshot)
    weights = snapshot / "model.safetensors"
    blob = repository / "blobs" / ("0" * 64)
    blob.parent.mkdir()
    weights.rename(blob)
    weights.symlink_to(blob)
    unverified = resolve(
        preset="nano", flags={"model_path": str(snapshot), "verify_model": False}
    ).config
    prepare.prepare(
        unverified, hardware.probe_hardware(), secrets_file=tmp_path / "keys", detached=False
    )
    done = run("up", "--model-path", str(snapshot))
    assert done.code == errors.ModelIncompleteError.exit_code
    assert "model.safetensors: its hash is" in " ".join(done.err.split())


def test_too_little_memory_is_refused_with_both_figures(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = hardware.Hardware((), "none", (0, 1), available_memory_bytes=1 * hardware.GIB)
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: small)
    done = run("up")
    assert done.code == errors.InsufficientMemoryError.exit_code
    assert "1.0 GiB are available" in " ".join(done.err.split())


@pytest.mark.parametrize(("ranks", "needed"), [("1", "1.0 MiB"), ("2", "32.0 MiB")])
def test_too_little_shared_memory_is_refused_with_both_figures(
    run: Run, monkeypatch: pytest.MonkeyPatch, ranks: str, needed: str
) -> None:
    monkeypatch.setattr("launcher.preflight.checks.free_disk_bytes", lambda _: 64 * 1024)
    done = run("up", "--tp-size", ranks)
    assert done.code == errors.InsufficientMemoryError.exit_code
    said = " ".join(done.err.split())
    assert f"{needed} of shared memory; /dev/shm has 64.0 KiB free" in said


def _h100s(*free_gib: float) -> hardware.Hardware:
    gpus = tuple(
        hardware.Gpu(index, f"GPU-{index}", "NVIDIA H100 80GB HBM3",
                     int(79.6 * hardware.GIB), int(free * hardware.GIB), (9, 0))
        for index, free in enumerate(free_gib)
    )  # fmt: skip
    return hardware.Hardware(gpus, "all that the driver shows", (0, 1), 900 * hardware.GIB)


def test_two_free_h100_choose_the_large_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: _h100s(79, 79))
    done = run("up", "--dry-run")
    assert "--model-path zai-org/GLM-4.5-Air-FP8" in done.out
    assert "2 GPUs have room" in done.err


def test_two_busy_h100_are_refused_for_the_large_model(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: _h100s(30, 30))
    done = run("up", "--preset", "glm-4.5-air-fp8")
    assert done.code == errors.NoGpuError.exit_code
    assert "30 of 80 GiB free" in " ".join(done.err.split())
    assert "nano" in run("up", "--dry-run").err


def test_a_second_server_goes_to_the_gpus_that_are_free(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: _h100s(5, 79, 5, 79))
    done = run("up", "--dry-run", "--name", "second", "--json")
    assert json.loads(done.out)["environment"]["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-3"


def test_a_model_without_a_preset_gets_no_flags_that_fit_another(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu = run("up", "--dry-run", "--model-path", "Qwen/Qwen3-0.6B")
    assert "--device cpu" in on_cpu.out
    assert "glm45" not in on_cpu.out
    assert "speculative" not in on_cpu.out
    assert "--served-model-name Qwen3-0.6B" in on_cpu.out
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: _h100s(79))
    assert "--device cuda" in run("up", "--dry-run", "--model-path", "Qwen/Qwen3-0.6B").out


def test_ranks_that_sglang_would_refuse_are_refused_before_anything_is_started(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: _h100s(79, 79, 79))
    done = run("up", "--model-path", str(model_path()), "--tp-size", "3")
    assert done.code == errors.IndivisibleModelError.exit_code
    assert "Use --tp-size 2." in done.err


CPU_WORDS = ("65536", "float32", "intel_amx", "--max-running-requests", "SPECSERVE_CPU_ENGINE")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--model-path", "Qwen/Qwen3-0.6B"),
        ("--preset", "custom", "--model-path", "Qwen/Qwen3-0.6B"),
        ("--preset", "nano"),
        (),
    ],
)
def test_a_command_for_a_gpu_has_nothing_of_the_cpu_that_it_was_written_on(
    run: Run, arguments: tuple[str, ...]
) -> None:
    of_gpu = run("up", "--dry-run", *arguments, "--device", "cuda")
    of_cpu = run("up", "--dry-run", *arguments)

    assert "--device cuda" in of_gpu.out
    assert [word for word in CPU_WORDS if word in of_gpu.out] == []
    # They are what such a command has without the option.
    assert "--max-total-tokens 65536" in of_cpu.out
    assert "SPECSERVE_CPU_ENGINE" in of_cpu.out


def test_a_command_for_the_cpu_has_nothing_of_the_gpus_that_are_here(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.cli.running.up.probe_hardware", lambda: _h100s(79, 79))

    own = run("up", "--dry-run", "--device", "cpu")
    custom = run("up", "--dry-run", "--model-path", "Qwen/Qwen3-0.6B", "--device", "cpu")
    preset = run("up", "--dry-run", "--preset", "glm-4.5-air-fp8", "--device", "cpu")

    assert own.err == "Preset nano: the CPU was asked for.\n"
    assert "--mem-fraction-static" not in preset.out
    for done in (own, custom, preset):
        assert "--max-total-tokens 65536" in done.out


def test_a_preset_whose_model_is_named_is_told_with_what_it_would_set(run: Run) -> None:
    arguments = ("up", "--dry-run", "--model-path", "zai-org/GLM-4.5-Air-FP8", "--device", "cuda")

    told = run(*arguments, "--tp-size", "4").err
    fields = json.loads(run(*arguments, "--json").out)["preset_not_taken"]
    other = run("up", "--dry-run", "--model-path", "zai-org/GLM-4.5-Air", "--json")

    assert "Preset glm-4.5-air-fp8 serves the same model, and is not taken." in told
    assert "mem_fraction_static 0.7 (here unset)" in told
    assert "tp_size" not in told  # asked for: the preset would leave it
    assert fields["name"] == "glm-4.5-air-fp8"
    assert fields["would_set"]["tp_size"] == {"preset": 2, "here": 1}
    assert json.loads(other.out)["preset_not_taken"] is None


def test_a_preset_that_does_not_go_with_the_flags_is_not_proposed(run: Run) -> None:
    done = run(
        *("up", "--dry-run", "--model-path", "zai-org/GLM-4.5-Air-FP8"),
        *("--speculative-num-draft-tokens", "9"),
    )

    assert done.code == 0
    assert "not taken" not in done.err


@pytest.mark.parametrize(
    "content",
    [
        {"architectures": ["Glm4MoeLiteForCausalLM"]},
        # Of which no plan is made.
        {"architectures": ["MiniCPM3ForCausalLM"], "kv_lora_rank": 256},
    ],
)
def test_a_model_that_a_cpu_cannot_run_is_refused_before_anything_is_started(
    run: Run, tmp_path: Path, content: dict[str, Any]
) -> None:
    for file in ("tokenizer.json", "model.safetensors"):
        (tmp_path / file).write_bytes((model_path() / file).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(content))
    done = run("up", "--model-path", str(tmp_path))
    assert done.code == errors.UnservedModelError.exit_code
    assert "latent attention" in " ".join(done.err.split())


def test_a_model_on_the_hub_that_a_cpu_cannot_run_is_not_fetched(run: Run) -> None:
    done = run("up", "--model-path", "zai-org/GLM-4.7-Flash")
    assert done.code == errors.UnservedModelError.exit_code


def test_a_standalone_draft_that_cannot_run_on_a_cpu_is_refused(run: Run) -> None:
    draft = str(model_path())
    done = run(
        "up", "--speculative-algorithm", "STANDALONE", "--speculative-draft-model-path", draft
    )
    assert done.code == errors.SpeculationError.exit_code
    assert "NextN" in done.err


def test_a_kv_cache_larger_than_the_memory_is_refused(run: Run) -> None:
    done = run("up", "--max-total-tokens", "50000000")
    assert done.code == errors.InsufficientMemoryError.exit_code


def test_a_missing_engine_is_refused_with_how_to_install_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    done = run("up")
    assert done.code == errors.EngineMissingError.exit_code
    assert "uv sync" in done.err


def test_a_variable_that_the_engine_cannot_read_is_refused_without_its_value(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGLANG_USE_MODELSCOPE", "swordfish")
    done = run("up")
    assert done.code == errors.InvalidValueError.exit_code
    said = " ".join(done.err.split())
    assert "SGLANG_USE_MODELSCOPE is set, and SGLang cannot read its value" in said
    assert "swordfish" not in said
    assert not servers_root().exists()


def test_a_limit_that_a_start_would_fail_under_is_refused_with_both_figures(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "launcher.preflight.limits.resource_limit",
        lambda name: (4 * hardware.GIB, -1) if name == "RLIMIT_AS" else (-1, -1),
    )
    done = run("up")
    assert done.code == errors.ResourceLimitError.exit_code
    said = " ".join(done.err.split())
    assert "The limit on addresses is 4.0 GiB; a server needs 8.0 GiB or more" in said
    assert "ulimit -v unlimited" in said


def test_other_systems_are_told_that_the_engine_is_for_linux(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    done = run("up")
    assert done.code == errors.UnsupportedSystemError.exit_code
    assert "Linux" in done.err
    assert "SPECSERVE_BASE_URL" in done.err


def test_config_show_names_the_source_of_every_field(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("port: 8001\ntp-size: 2\n")
    monkeypatch.setenv("SPECSERVE_PORT", "8002")
    monkeypatch.setenv("SPECSERVE_DTYPE", "bfloat16")
    done = run("config", "show", "--json", "--config", str(file), "--dtype", "float16")
    shown = json.loads(done.out)
    assert shown["config"]["port"] == 8002
    assert shown["config"]["dtype"] == "float16"
    assert shown["config"]["tp_size"] == 2
    assert shown["sources"]["port"] == "environment"
    assert shown["sources"]["dtype"] == "flag"
    assert shown["sources"]["tp_size"] == f"file {file}"
    assert shown["sources"]["tool_call_parser"] == "preset nano"
    assert shown["sources"]["host"] == "default"


def test_config_show_is_a_table_for_people(run: Run) -> None:
    done = run("config", "show")
    assert "mem_fraction_static" in done.out
    assert "Preset nano:" in done.out


def test_commands_on_a_server_that_never_was(run: Run) -> None:
    assert run("status").out.startswith("No server has been started")
    assert run("status", "--name", "ghost").code == errors.NotRunningError.exit_code
    assert run("logs", "--name", "ghost").code == errors.NotRunningError.exit_code
    assert run("restart", "--name", "ghost").code == errors.NotRunningError.exit_code
    down = run("down", "--name", "ghost")
    assert down.code == 0
    assert "nothing to stop" in " ".join(down.out.split())
    assert not servers_root().exists()


def test_a_name_that_is_a_path_is_refused(run: Run) -> None:
    assert run("status", "--name", "../x").code == errors.InvalidValueError.exit_code
    assert run("up", "--name", "a/b").code == errors.InvalidValueError.exit_code


def test_wrong_usage_has_exit_code_2_and_names_the_nearest(run: Run) -> None:
    done = run("up", "--prot", "8000")
    assert done.code == 2
    assert "--port" in done.err


def test_wrong_usage_is_json_where_json_is_asked_for(run: Run) -> None:
    assert json.loads(run("up", "--json", "--prot", "1").out)["exit_code"] == 2


def test_one_bad_record_does_not_hide_the_others(run: Run, tmp_path: Path) -> None:
    record = make_record(tmp_path, name="good", state=ServerState.STOPPED)
    store = RunStore("good")
    store.create()
    store.write(record)
    (servers_root() / "bad").mkdir()
    (servers_root() / "bad" / "run.json").write_text("{")
    done = run("status", "--json")
    assert done.code == errors.BrokenRecordError.exit_code
    assert '"name": "good"' in done.out
    assert run("down", "--all").code == errors.BrokenRecordError.exit_code
    # It was named, and set aside.
    assert run("down", "--all").code == 0
    assert [file.name[:15] for file in (servers_root() / "bad").glob("run.json*")] == [
        "run.json.broken"
    ]


def test_completion_is_offered_for_the_installed_script(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_SPECSERVE_COMPLETE", "bash_source")
    assert "complete -o nosort -F _specserve_completion specserve" in run().out


def test_every_command_has_help(run: Run) -> None:
    listing = run("--help").out
    for command in ("up", "down", "status", "logs", "restart", "config"):
        assert command in listing
        assert run(command, "--help").code == 0
    assert "supervise" not in listing


def test_down_all_without_servers_is_an_empty_list(run: Run) -> None:
    assert json.loads(run("down", "--all", "--json").out) == {"servers": [], "errors": []}


def test_status_of_a_record_from_another_version_is_an_error(run: Run) -> None:
    folder = servers_root() / "old"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"schema_version": 99}')
    done = run("status")
    assert done.code == errors.StateError.exit_code
    assert "run.json" in " ".join(done.err.split())
