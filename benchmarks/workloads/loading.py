"""From what a plan names to a workload: a built-in one, or a file of prompts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from benchmarks.workloads.builtin import BUILT_IN, make
from benchmarks.workloads.files import load_file
from benchmarks.workloads.workload import Workload


def load_workload(spec: str, *, prompts: int, seed: int) -> Workload:
    """Give the workload that a plan names.

    Args:
        spec: a name in `BUILT_IN`, with `-x4` behind it for lengths times four; or the path of a
            file: what ends in `.jsonl` or `.json`, has a slash, or exists.
        prompts: how many, 1 and up; a file with fewer gives all it has.
        seed: of built-in workloads, and of the draw from a ShareGPT file.

    Raises:
        WorkloadError: no such workload, or a file that cannot be used.
    """
    if spec in BUILT_IN:
        return make(spec, prompts=prompts, seed=seed)
    scaled = re.fullmatch(r"(.+)-x(\d{1,3}(?:\.\d{1,3})?)", spec)
    if scaled and scaled[1] in BUILT_IN and float(scaled[2]) > 0:
        return make(scaled[1], prompts=prompts, seed=seed, scale=float(scaled[2]))
    if spec.endswith((".jsonl", ".json")) or "/" in spec or _exists(spec):
        workload = load_file(_path(spec), prompts=prompts, seed=seed)
        # `chat.jsonl` beside `chat`: two rows of one name would tell nobody which is which.
        return (
            replace(workload, name=f"{workload.name}-file")
            if workload.name in BUILT_IN
            else workload
        )
    return make(spec, prompts=prompts, seed=seed)


def _path(spec: str) -> Path:
    try:
        return Path(spec).expanduser()
    except RuntimeError:  # no such user: there will be no such file either
        return Path(spec)


def _exists(spec: str) -> bool:
    try:
        return bool(spec) and Path(spec).exists()
    except OSError:  # for example a name that is too long
        return False
