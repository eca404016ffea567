"""The bundle for Prometheus and Grafana, by Prometheus' own checks."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from launcher.cli.service.export import export
from launcher.errors import ConfigFileError, InvalidValueError
from launcher.exporting.grafana.bundle import bundle
from launcher.exporting.grafana.targets import ScrapeTarget, parse_target
from tests.unit.launcher.live.test_watch import served

PROMTOOL = "not installed: apt-get install -y prometheus"
TARGETS = (
    ScrapeTarget("127.0.0.1:8000", "one", needed_acceptance_length=1.83),
    ScrapeTarget("10.0.0.2:443", "two", "fleet", https=True),
)
ONE = 'job="specserve",instance="127.0.0.1:8000",server="one"'
LABELS = {"job": "specserve", "instance": "127.0.0.1:8000", "server": "one"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in bundle(TARGETS, ()).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def promtool(*arguments: str, folder: Path) -> str:
    """What it prints; a check that fails fails the test."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(PROMTOOL)
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def judged(folder: Path, *tests: dict[str, Any]) -> None:
    """Let `promtool test rules` compute the rules over series."""
    file = folder / "test.yml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": list(tests)}
        )
    )
    promtool("test", "rules", "test.yml", folder=folder)


def series(**values: str) -> list[dict[str, str]]:
    """SGLang's, each as promtool writes a course: `0+3x40` is 0, 3, 6 ..."""
    return [
        {"series": f'sglang:{name}{{{ONE},tp_rank="0"}}', "values": course}
        for name, course in values.items()
    ]


def value(record: str, at: str, wanted: float, **labels: str) -> dict[str, Any]:
    shown = ",".join(f'{name}="{said}"' for name, said in sorted((LABELS | labels).items()))
    return {
        "expr": f"specserve:{record}",
        "eval_time": at,
        "exp_samples": [{"labels": f"specserve:{record}{{{shown}}}", "value": wanted}],
    }


def silent(name: str, at: str) -> dict[str, Any]:
    return {"alertname": f"Specserve{name}", "eval_time": at, "exp_alerts": []}


def test_prometheus_takes_the_configuration_and_the_rules(folder: Path) -> None:
    assert "rules found" in promtool("check", "config", "prometheus.yml", folder=folder)


def test_names_that_were_escaped_get_their_colon_back(folder: Path) -> None:
    config = yaml.safe_load((folder / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        (relabel,) = job["metric_relabel_configs"]
        shown = re.sub(r"\$\{(\d)\}", r"\\\1", relabel["replacement"])
        names = {
            name: re.sub(f"^(?:{relabel['regex']})$", shown, name)
            for name in ("sglang_num_running_reqs", "vllm_x", "sglang:x", "process_cpu", "up")
        }
        assert names == {
            "sglang_num_running_reqs": "sglang:num_running_reqs",
            "vllm_x": "vllm:x",
            "sglang:x": "sglang:x",
            "process_cpu": "process_cpu",
            "up": "up",
        }


def test_figures_are_those_of_top(folder: Path) -> None:
    # Each quarter of a minute 3 requests of 40 tokens, 10 of a prompt's 20 cached, in 45 steps.
    course = series(
        num_requests_total="0+3x80",
        generation_tokens_total="0+120x80",
        spec_verify_calls_total="0+45x80",
        prompt_tokens_total="0+60x80",
        cached_tokens_total="0+30x80",
        num_running_reqs="9x80",
        num_queue_reqs="6x80",
        token_usage="0.25x80",  # noqa: S106 - no secret
    )
    # A second rank tells the same once more.
    course += [
        {"series": f'sglang:num_running_reqs{{{ONE},tp_rank="1"}}', "values": "9x80"},
        {"series": f'sglang:token_usage{{{ONE},tp_rank="1"}}', "values": "0.25x80"},
    ]
    judged(
        folder,
        {
            "interval": "15s",
            "input_series": course,
            "promql_expr_test": [
                value("running_requests", "10m", 9),
                value("requests:rate5m", "10m", 0.2),
                value("output_tokens:rate5m", "10m", 8),
                value("acceptance_length:rate5m", "10m", 2.6),
                value("prefix_hit_fraction:rate5m", "10m", 0.5),
                value("expected_wait_seconds", "10m", 30),
                value("kv_used_fraction", "10m", 0.25),
            ],
        },
    )


def test_an_engine_that_counts_drafts_has_the_same_names(folder: Path) -> None:
    labels = f'{ONE},engine="0"'
    course = {
        "vllm:spec_decode_num_drafts_total": "0+100x40",
        "vllm:spec_decode_num_accepted_tokens_total": "0+170x40",
        "vllm:generation_tokens_total": "0+300x40",
        "vllm:num_requests_running": "4x40",
    }
    judged(
        folder,
        {
            "interval": "15s",
            "input_series": [
                {"series": f"{name}{{{labels}}}", "values": said} for name, said in course.items()
            ],
            "promql_expr_test": [
                value("acceptance_length:rate5m", "8m", 2.7),
                value("output_tokens:rate5m", "8m", 20),
                value("running_requests", "8m", 4),
            ],
        },
    )


def test_a_server_that_is_gone_is_told_after_a_minute(folder: Path) -> None:
    judged(
        folder,
        {
            "interval": "15s",
            "input_series": [{"series": f"up{{{ONE}}}", "values": "1x20 0x20"}],
            "alert_rule_test": [
                silent("ServerDown", "4m"),
                silent("ServerDown", "5m45s"),
                {
                    "alertname": "SpecserveServerDown",
                    "eval_time": "7m",
                    "exp_alerts": [fired("ServerDown", "critical")],
                },
            ],
        },
    )


def fired(name: str, severity: str = "warning", said: str = "") -> dict[str, Any]:
    """An alert as promtool expects it, with the texts of the rules."""
    rules = yaml.safe_load(bundle(TARGETS, ())["rules.yml"])
    found = next(
        rule
        for group in rules["groups"]
        for rule in group["rules"]
        if rule.get("alert") == f"Specserve{name}"
    )
    annotations = {
        key: re.sub(r"\{\{ \$value[^}]*\}\}", said, text).replace("{{ $labels.server }}", "one")
        for key, text in found["annotations"].items()
    }
    return {"exp_labels": LABELS | {"severity": severity}, "exp_annotations": annotations}


def test_acceptance_that_decays_is_told_against_the_day_before(folder: Path) -> None:
    # 2.6 tokens a step for twelve hours, then 1.7 for two: what nobody saw in sglang 28771.
    course = series(
        num_requests_total="0+12x840",
        generation_tokens_total="0+480x720 346080+318x120",
        spec_verify_calls_total="0+180x840",
    )
    judged(
        folder,
        {
            "interval": "1m",
            "input_series": course,
            "alert_rule_test": [
                silent("AcceptanceDecays", "11h"),
                {
                    "alertname": "SpecserveAcceptanceDecays",
                    "eval_time": "12h40m",
                    "exp_alerts": [fired("AcceptanceDecays", said="1.70")],
                },
                # It needs 1.83 to pay.
                silent("SpeculationDoesNotPay", "11h"),
                {
                    "alertname": "SpecserveSpeculationDoesNotPay",
                    "eval_time": "12h40m",
                    "exp_alerts": [fired("SpeculationDoesNotPay", said="1.70")],
                },
            ],
        },
    )


@pytest.mark.parametrize(
    ("name", "course", "said"),
    [
        (
            "WaitingLong",
            series(num_queue_reqs="0x20 60x60", num_requests_total="0+15x80"),
            "60",
        ),
        ("KvCacheFull", series(token_usage="0.5x20 0.97x60"), "0.97"),  # noqa: S106
        ("Retractions", series(num_retracted_reqs_total="0x20 1+1x60"), ""),
    ],
)
def test_what_goes_on_is_told_and_what_is_well_is_not(
    folder: Path, name: str, course: Sequence[dict[str, str]], said: str
) -> None:
    judged(
        folder,
        {
            "interval": "15s",
            "input_series": list(course),
            "alert_rule_test": [
                silent(name, "4m"),
                {
                    "alertname": f"Specserve{name}",
                    "eval_time": "18m",
                    "exp_alerts": [fired(name, said=said)],
                },
            ],
        },
    )


def test_servers_that_begin_anew_are_told(folder: Path) -> None:
    scrapes = {
        "series": f'sglang:http_requests_total{{{ONE},endpoint="/metrics",method="GET"}}',
        "values": "1+1x20 1+1x20 1+1x20 1+1x20",
    }
    judged(
        folder,
        {
            "interval": "15s",
            "input_series": [scrapes],
            "promql_expr_test": [value("restarts:changes30m", "18m", 3)],
            "alert_rule_test": [
                silent("Restarts", "7m"),
                {
                    "alertname": "SpecserveRestarts",
                    "eval_time": "12m",
                    "exp_alerts": [fired("Restarts", said="2")],
                },
            ],
        },
    )


def dashboard(folder: Path) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads((folder / "dashboard.json").read_text())
    return shown


def test_the_dashboard_asks_for_what_the_rules_record(folder: Path) -> None:
    rules = yaml.safe_load((folder / "rules.yml").read_text())
    recorded = {rule.get("record") for group in rules["groups"] for rule in group["rules"]}
    exprs = [one["expr"] for panel in dashboard(folder)["panels"] for one in panel["targets"]]

    asked = {name for expr in exprs for name in re.findall(r"specserve:[a-z0-9_:]+", expr)}
    assert asked <= recorded
    # What is recorded is shown, but for what other rules are made of.
    assert recorded - asked - {None} == {
        "specserve:requests:rate5m",
        "specserve:verify_steps:rate5m",
    }
    checked = {
        "groups": [
            {
                "name": "dashboard",
                "rules": [
                    {"record": f"asked:{number}", "expr": expr.replace("$server", ".*")}
                    for number, expr in enumerate(exprs)
                ],
            }
        ]
    }
    (folder / "asked.yml").write_text(yaml.safe_dump(checked).replace("asked:", "asked:n"))
    promtool("check", "rules", "asked.yml", folder=folder)


def test_the_dashboard_s_panels_have_places_of_their_own(folder: Path) -> None:
    shown = dashboard(folder)
    taken: set[tuple[int, int]] = set()
    for panel in shown["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not own & taken, panel["title"]
        taken |= own
    assert len({panel["id"] for panel in shown["panels"]}) == len(shown["panels"])
    assert [one["name"] for one in shown["templating"]["list"]] == ["datasource", "server"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.0.0.2:8000", ("10.0.0.2:8000", False)),
        ("https://host.example", ("host.example:443", True)),
        ("http://[::1]:8000/", ("[::1]:8000", False)),
    ],
)
def test_addresses_as_people_write_them(text: str, wanted: tuple[str, bool]) -> None:
    target = parse_target(text)

    assert (target.address, target.https) == wanted


@pytest.mark.parametrize(
    "text", ["host", "", "ftp://h:1", "h:99999", "h:8000/metrics", "http://u:p@h:1", "a b:x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_target(text)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(export, ["grafana", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_servers_that_run_here_are_watched(tmp_path: Path) -> None:
    with served("one", base_url="http://127.0.0.1:8000"), served("two", state="STOPPED"):
        said = json.loads(run("--json"))

    config = yaml.safe_load(said["files"]["prometheus.yml"])
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8000"], "labels": {"server": "one"}}]
    assert "benchmarks run" in " ".join(said["notes"])
    with pytest.raises(InvalidValueError, match="No server runs"):
        run("--output", str(tmp_path / "made"))


def test_files_are_written_once_and_read_by_others(tmp_path: Path) -> None:
    made = tmp_path / "made"
    arguments = ("--target", "10.0.0.2:8000", "--output", str(made))
    run(*arguments)

    assert {file.name for file in made.iterdir()} == {
        "prometheus.yml",
        "rules.yml",
        "dashboard.json",
    }
    assert all(stat.S_IMODE(file.stat().st_mode) & 0o044 == 0o044 for file in made.iterdir())
    with pytest.raises(ConfigFileError, match="exists"):
        run(*arguments)
    run(*arguments, "--force")
    assert "--target 10.0.0.2:8000" in (made / "rules.yml").read_text()
