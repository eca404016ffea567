"""From the options of `run`, or a plan file, to a plan and its prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import ValidationError

from benchmarks.cli.common import shared_fields, with_preset
from benchmarks.errors import PlanError
from benchmarks.plan import Objective, Plan
from benchmarks.records import Load
from benchmarks.running.arms import PLAIN, parse_arm
from benchmarks.workloads.loading import load_workload
from benchmarks.workloads.workload import Workload

DEFAULT_ARMS: Final = (PLAIN, "eagle")
DEFAULT_WORKLOADS: Final = ("chat", "code", "json", "tools")
DEFAULT_CONCURRENCIES: Final = "1,2,4,8"
N = TypeVar("N", int, float)


def plan_of(options: Mapping[str, Any]) -> Plan:
    """The plan of a file, or of options.

    Raises:
        PlanError: it makes no sense.
    """
    if options["plan_file"] is not None:
        return _read_plan(options["plan_file"])
    shared = shared_fields(options)
    arms = tuple(parse_arm(text) for text in options["arms"] or DEFAULT_ARMS)
    if any(arm.url is None for arm in arms):
        shared = with_preset(shared)
    concurrency = options["concurrency"]
    if concurrency is None and options["rate"] is None:
        concurrency = DEFAULT_CONCURRENCIES
    loads = [Load(concurrency=number) for number in _numbers("--concurrency", concurrency, int)]
    loads += [Load(rate_per_second=rate) for rate in _numbers("--rate", options["rate"], float)]
    return _checked(
        {
            "arms": arms,
            "shared": shared,
            "workloads": options["workloads"] or DEFAULT_WORKLOADS,
            "loads": loads,
            "objective": _objective(options["objective"]),
            "peers": options["peers"],
            **{
                name: options[name]
                for name in (
                    *("prompts", "rounds", "side_by_side", "seed", "warm_up_requests"),
                    *("cell_timeout_seconds", "scored_prompts"),
                )
            },
        }
    )


def _read_plan(file: Path) -> Plan:
    try:
        fields = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(
            f"The plan {file} cannot be read: {error}.", action="Check the path given with --plan."
        ) from error
    except yaml.YAMLError as error:
        raise PlanError(
            f"The plan {file} is not YAML.", action="Mend the line that it names.",
            evidence=tuple(str(error).splitlines()[-2:]),
        ) from error  # fmt: skip
    if isinstance(fields, dict) and isinstance(fields.get("plan"), dict):
        fields = fields["plan"]
    return _checked(fields)


def _checked(fields: Any) -> Plan:
    try:
        return Plan.model_validate(fields)
    except ValidationError as error:
        lines = tuple(
            f"{'.'.join(str(part) for part in one['loc']) or 'plan'}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise PlanError(
            f"The plan makes no sense: {len(lines)} of its fields do not fit.",
            action="`python -m benchmarks run --dry-run --json` prints one that does.",
            evidence=lines,
        ) from error


def _numbers(option: str, text: str | None, kind: type[N]) -> list[N]:
    try:
        numbers = [kind(part) for part in (text or "").split(",") if part.strip()]
    except ValueError:
        raise PlanError(
            f"{option} {text!r} is no list of numbers.", action="Write 1,2,4."
        ) from None
    if any(not number > 0 for number in numbers) or len(set(numbers)) != len(numbers):
        raise PlanError(
            f"{option} {text!r} has a number that is not above 0, or one twice.",
            action="Write 1,2,4.",
        )
    return numbers


def _objective(text: str | None) -> Objective | None:
    if not text:
        return None
    names = {
        "ttft": "time_to_first_token_seconds",
        "tpot": "time_per_output_token_seconds",
        "e2e": "end_to_end_seconds",
    }
    try:
        parts = dict(part.split("=", 1) for part in text.split(","))
        return Objective.model_validate({names[key]: value for key, value in parts.items()})
    except (ValueError, KeyError):
        raise PlanError(
            f"Not an objective: {text!r}.", action="Write ttft=0.5,tpot=0.05: in seconds."
        ) from None


def load_all(plan: Plan) -> tuple[Workload, ...]:
    """The prompts of a plan.

    Raises:
        WorkloadError: there is no such workload, or a file cannot be used.
        PlanError: two have one name.
    """
    loaded = tuple(
        load_workload(spec, prompts=plan.prompts, seed=plan.seed) for spec in plan.workloads
    )
    names = [workload.name for workload in loaded]
    if twice := [name for name in names if names.count(name) > 1]:
        raise PlanError(
            f"Two workloads have the name {twice[0]!r}.", action="Rename one of the files."
        )
    return loaded
