"""Versions, and whether they agree: this environment, and others that do not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from launcher.doctor.packages import PROBES
from launcher.doctor.probes import NoAnswerError, Row, examine
from launcher.doctor.readers import Packages, Readers, torch_cuda
from launcher.doctor.target import ServingTarget, serving_target
from launcher.system.hardware import GIB, Hardware

NO_GPU = Hardware((), "none", (0, 1), 20 * GIB)
SGLANG = "0.5.23"


class Shelf(Packages):
    """This environment with other versions in it; None takes a package out."""

    def __init__(self, **versions: str | None) -> None:
        self._versions = {name.replace("_", "-"): version for name, version in versions.items()}

    def version(self, name: str) -> str | None:
        key = name.replace("_", "-")
        return self._versions[key] if key in self._versions else super().version(name)


def target(asked: str = "nano") -> ServingTarget:
    return serving_target(asked, NO_GPU, {})


def look(
    packages: Packages,
    asked: str = "nano",
    *,
    programs: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
) -> dict[str, Row]:
    readers = Readers(
        packages=packages,
        find_program=(programs or {}).get,
        environment=environment or {},
    )
    findings = examine(PROBES, target(asked), readers)
    return {finding.row.subject: finding.row for finding in findings}


def test_this_environment_agrees_with_sglang_s_own_requirements() -> None:
    rows = look(Packages())

    assert {subject for subject, row in rows.items() if row.status != "green"} == set()
    assert rows["torch"].measured == importlib.metadata.version("torch")
    assert rows["torch"].wanted == "==2.14.1 (sglang)"
    assert rows["triton"].wanted.endswith("(torch)")
    assert rows["sglang"].wanted == SGLANG


@pytest.mark.parametrize(
    ("package", "version", "status"),
    [
        ("torch", "2.13.0", "amber"),
        ("torch", "2.14.1+cu130", "green"),
        ("torch", None, "red"),
        ("triton", "3.9.0", "amber"),
        ("sglang-kernel", "0.4.9", "amber"),
        ("flashinfer-python", "0.7.3", "amber"),
        ("transformers", None, "red"),
    ],
)
def test_a_version_that_sglang_does_not_ask_for_is_told(
    package: str, version: str | None, status: str
) -> None:
    row = look(Shelf(**{package: version}))[package]

    assert (row.status, row.measured) == (status, version or "not installed")


def test_other_requirements_are_told_in_one_row_three_at_the_most() -> None:
    shelf = Shelf(numba="0.1", xgrammar=None, timm="9", tilelang="9", orjson=None)

    row = look(shelf)["sglang's requirements"]

    assert row.status == "amber"
    assert "numba 0.1 is not ==0.65.1" in row.measured
    assert row.measured.endswith(", and 2 more")


@pytest.mark.parametrize(
    ("version", "status"), [("0.7.2", "green"), ("0.7.2+cu130", "green"), ("0.7.1", "amber")]
)
def test_kernels_made_for_another_flashinfer_are_amber(version: str, status: str) -> None:
    assert look(Shelf(flashinfer_cubin=version))["flashinfer-cubin"].status == status


def test_without_an_engine_that_is_red_and_nothing_is_said_of_its_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr(importlib.metadata, "requires", missing)

    rows = look(Packages())

    assert rows["sglang"].status == "red"
    assert "uv sync" in str(rows["sglang"].action)
    assert "torch" not in rows
    assert "sglang's requirements" not in rows


def test_another_sglang_than_the_pinned_one_is_amber(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.5.99")

    assert look(Packages())["sglang"].status == "amber"


def nvcc(folder: Path, release: str) -> str:
    file = folder / "bin" / "nvcc"
    file.parent.mkdir()
    file.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V1'\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.parametrize(
    ("release", "status"), [("13.0", "green"), ("13.2", "green"), ("12.8", "amber")]
)
def test_nvcc_is_held_against_torch_s_cuda(tmp_path: Path, release: str, status: str) -> None:
    place = nvcc(tmp_path, release)

    rows = look(
        Packages(),
        "glm-4.5-air-fp8",
        programs={place: place, "ninja": "/usr/bin/ninja", "g++": "/usr/bin/g++"},
        environment={"CUDA_HOME": str(tmp_path)},
    )

    assert (rows["nvcc"].status, rows["nvcc"].measured) == (status, f"{release}, {place}")
    assert (rows["ninja"].status, rows["C++ compiler"].status) == ("green", "green")


def test_a_cuda_home_without_a_compiler_is_not_looked_past(tmp_path: Path) -> None:
    rows = look(
        Packages(),
        "glm-4.5-air-fp8",
        programs={"nvcc": "/usr/bin/nvcc"},
        environment={"CUDA_HOME": str(tmp_path)},
    )

    assert rows["nvcc"].measured == f"not found in {tmp_path}"
    assert {rows[name].status for name in ("nvcc", "ninja", "C++ compiler")} == {"amber"}


def test_a_ninja_that_is_not_on_path_is_amber() -> None:
    beside = str(Path(sys.executable).parent / "ninja")

    row = look(Packages(), "glm-4.5-air-fp8", programs={beside: beside})["ninja"]

    assert (row.status, row.measured) == ("amber", "beside Python, and not on PATH")


def test_torch_s_cuda_is_read_without_importing_it() -> None:
    # In a process of its own: other tests import torch.
    code = (
        "import sys; from launcher.doctor.readers import torch_cuda; "
        "print(torch_cuda(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "(13, 0) False"


def test_a_torch_without_cuda_or_none_at_all_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "version.py").write_text("__version__ = '2.14.1+cpu'\ncuda = None\n")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(NoAnswerError, match="without CUDA"):
        torch_cuda()

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NoAnswerError, match="not installed"):
        torch_cuda()
