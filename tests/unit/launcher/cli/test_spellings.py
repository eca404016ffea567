"""Options before `--` as SGLang spells them, and those that belong behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPECSERVE_")}
    return subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        env=environment | {"NO_COLOR": "1", "COLUMNS": "120", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )


def test_an_engines_spelling_is_understood() -> None:
    done = run("up", "--dry-run", "--device", "cpu", "--tp", "2", "--model=/m/a",
               "--mem-fraction", "0.5", "--", "--port", "9001")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for words in ("--tp-size 2", "--mem-fraction-static 0.5", "--port 9001"):
        assert words in done.stdout
    assert "--port sets port" in done.stderr
    assert "Clients ask for model 'a' at port 9001." in done.stderr


def test_vllms_spelling_is_understood_where_vllm_is_meant() -> None:
    for engine in (("--engine", "vllm"), ("--preset=nano-vllm",)):
        done = run("up", "--dry-run", *engine, "--device", "cpu", "--max-num-seqs", "7",
                   "--", "--max_model_len", "4k", "--block-size", "16")  # fmt: skip
        assert done.returncode == 0, done.stderr
        for words in ("--max-num-seqs 7", "--max-model-len 4000", "--block-size 16"):
            assert words in done.stdout
        assert "--max-model-len sets context_length" in done.stderr
    done = run("up", "--dry-run", "--max-num-seqs", "7")
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("up", "--engine", "vllm", "--block-size", "16"), "put it after `--`"),
        (("up", "--schedule-policy", "fcfs"), "put it after `--`"),
        (("up", "--schedule-policie", "fcfs"), "--schedule-policy"),
        (("plan", "--schedule-policy", "fcfs"), "only `up` takes it"),
        (("up", "--nothing-like-it"), "No such option"),
    ],
)
def test_an_option_of_the_engines_alone_is_sent_behind_the_dashes(
    arguments: tuple[str, ...], told: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_import_prints_yaml_and_three_lists(tmp_path: Path) -> None:
    done = run("config", "import", "--", "env", "HF_TOKEN=hf_hidden", "python", "-m",
               "sglang.launch_server", "--model", "/m/a", "--tp", "2", "--api-key", "hidden",
               folder=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "model_path: /m/a" in done.stdout
    assert "tp_size: 2" in done.stdout
    for title in ("Taken over:", "Added by the launcher:", "Not taken over:"):
        assert title in done.stderr
    assert "hidden" not in done.stdout + done.stderr


def test_import_writes_a_file_that_up_takes(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("MODEL=/m/a\nexec sglang serve --model-path $MODEL --device cpu\n")
    done = run("config", "import", "run.sh", "-o", "server.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    again = run("config", "import", "run.sh", "-o", "server.yaml", folder=tmp_path)
    assert again.returncode == 14
    dry = run("up", "--config", "server.yaml", "--dry-run", folder=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert "--port 30000" in dry.stdout
    assert "--served-model-name /m/a" in dry.stdout


def test_several_servers_are_asked_about(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    services = "".join(
        f"  {name}: {{command: sglang serve --model-path /m/{name}}}\n" for name in ("a", "b")
    )
    file.write_text(f"services:\n{services}")
    done = run("config", "import", str(file))
    assert done.returncode == 18
    assert "2 servers are started in it, as several services: a, b" in done.stderr
    chosen = run("config", "import", str(file), "--service", "b")
    assert "model_path: /m/b" in chosen.stdout


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("tensor-parallel-size", "The field is tp_size."),
        ("schedule_policy", "--schedule-policy is an option of SGLang's: write it into the list"),
        ("nothing_like_it", "lists all fields"),
    ],
)
def test_a_key_of_the_engines_is_sent_to_its_place(tmp_path: Path, key: str, told: str) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(f"{key}: 1\n")
    done = run("config", "show", "--config", str(file))
    assert done.returncode == 12
    assert told in " ".join(done.stderr.split())


def test_a_variable_that_nobody_reads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGLANG_NO_SUCH_THING", "1")
    done = run("up", "--dry-run", "--preset", "nano")
    assert done.returncode == 0
    assert "SGLANG_NO_SUCH_THING is set, and SGLang" in done.stderr


def test_a_named_model_says_that_it_goes_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
    done = run("up", "--dry-run", "--model-path", "/m/a")
    assert "it goes to the CPU: no NVIDIA GPU was found" in " ".join(done.stderr.split())
