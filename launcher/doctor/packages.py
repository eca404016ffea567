"""Probes of what is installed: versions, whether they agree, compilers. Imports none of it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from launcher.doctor.needs import Needs
from launcher.doctor.probes import NoAnswerError, Probe, Row, Status
from launcher.engines.sglang.version import PINNED_SGLANG, installed_sglang_version
from launcher.errors import EngineMissingError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Which package's metadata says what version of another is wanted.
ASKED_BY: Final[Mapping[str, str]] = {
    "torch": "sglang",
    "triton": "torch",
    "transformers": "sglang",
    "sglang-kernel": "sglang",
    "flashinfer-python": "sglang",
}
# Kernels made in advance; they are for one version of flashinfer, and flashinfer ignores them
# beside another. Source: flashinfer 0.7.2, jit/env.py.
FLASHINFER_KERNELS: Final = ("flashinfer-cubin", "flashinfer-jit-cache")
_SYNC: Final = "`uv sync` in the checkout, or `pip install '.[engine]'`, installs what fits."
_SHOWN: Final = 3
_NVCC_SECONDS: Final = 3.0


class Packages:
    """What is installed in this environment; a test puts another in its place."""

    def version(self, name: str) -> str | None:
        """Version of a distribution, or None where it is not installed."""
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    def requirements(self, name: str) -> list[str]:
        """What a distribution says it requires; nothing where it is not installed."""
        try:
            return importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            return []


def torch_cuda() -> tuple[int, int]:
    """The CUDA that torch was built for, read from its sources: importing it takes seconds.

    Source: torch 2.14.1, version.py.

    Raises:
        NoAnswerError: torch is not here, or was built without CUDA.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise NoAnswerError("torch is not installed")
    text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    found = re.search(r"^cuda\b.*=\s*'(\d+)\.(\d+)", text, re.MULTILINE)
    if found is None:
        raise NoAnswerError("torch was built without CUDA")
    return int(found[1]), int(found[2])


def package_probes(
    needs: Needs,
    packages: Packages,
    *,
    find_program: Callable[[str], str | None] = shutil.which,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Probe, ...]:
    """The probes of the group packages."""
    return (
        Probe(
            "python",
            "packages",
            lambda: [Row("Python", "green", platform.python_version(), "3.11 or newer")],
            source="`pyproject.toml`",
        ),
        Probe(
            "sglang",
            "packages",
            lambda: [_sglang()],
            amber="another version than the pinned one",
            red="not installed",
            remedy="`uv sync`, or `pip install '.[engine]'`",
            source="`launcher.engines.sglang.version.PINNED_SGLANG`",
        ),
        Probe(
            "versions",
            "packages",
            lambda: _versions(packages),
            amber="another version than sglang, or torch for triton, requires",
            red="not installed",
            remedy="`uv sync`, or `pip install '.[engine]'`",
            source="the metadata of sglang and torch",
        ),
        Probe(
            "requirements",
            "packages",
            lambda: _requirements(packages),
            amber="any other requirement of sglang is missing or has another version",
            remedy="`uv sync`, or `pip install '.[engine]'`",
            source="sglang's metadata, without extras",
        ),
        Probe(
            "flashinfer-kernels",
            "packages",
            lambda: (_kernels(packages, name) for name in FLASHINFER_KERNELS),
            amber="installed in another version than flashinfer-python, which then ignores it",
            remedy="`flashinfer download-kernels`, or uninstall it",
            source="flashinfer 0.7.2, `jit/env.py`",
        ),
        Probe(
            "compilers",
            "packages",
            lambda: _compilers(needs, find_program, environment),
            amber="nvcc, ninja or a C++ compiler is missing, or nvcc is older than torch's CUDA; "
            "only where a GPU is needed",
            remedy="the CUDA toolkit and CUDA_HOME, ninja, g++; activate the environment",
            source="sglang 0.5.23, `kernels/jit/utils/compile/toolchain.py`, and flashinfer 0.7.2, "
            "`jit/cpp_ext.py`: CUDA_HOME, CUDA_PATH, nvcc on PATH, `/usr/local/cuda`; "
            "docs/diagnoses.md, `kernel-compiler-missing`",
        ),
    )


def _sglang() -> Row:
    try:
        version = installed_sglang_version()
    except EngineMissingError as error:
        return Row("sglang", "red", "not installed", PINNED_SGLANG, error.action)
    if version != PINNED_SGLANG:
        action = f"Flags and causes are known for {PINNED_SGLANG}. {_SYNC}"
        return Row("sglang", "amber", version, PINNED_SGLANG, action)
    return Row("sglang", "green", version, PINNED_SGLANG)


def _versions(packages: Packages) -> Iterator[Row]:
    if packages.version("sglang") is None:
        return
    for name, asking in ASKED_BY.items():
        wanted = [each for each in _parsed(packages, asking) if _same(each.name, name)]
        version = packages.version(name)
        said = f"{wanted[0].specifier or 'any'} ({asking})" if wanted else f"any ({asking})"
        if version is None:
            yield Row(name, "red", "not installed", said, _SYNC)
        elif all(each.specifier.contains(version, prereleases=True) for each in wanted):
            yield Row(name, "green", version, said)
        else:
            yield Row(name, "amber", version, said, _SYNC)


def _requirements(packages: Packages) -> Iterator[Row]:
    wanted = [each for each in _parsed(packages, "sglang") if not _told(each.name)]
    wrong = []
    for each in wanted:
        version = packages.version(each.name)
        if version is None:
            wrong.append(f"{each.name} is missing")
        elif not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each.name} {version} is not {each.specifier}")
    subject, all_of_them = "sglang's requirements", f"all {len(wanted)} others"
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        measured = f"{', '.join(wrong[:_SHOWN])}{more}"
        yield Row(subject, "amber", measured, all_of_them, _SYNC)
    elif wanted:
        yield Row(subject, "green", "as its metadata says", all_of_them)


def _kernels(packages: Packages, name: str) -> Row:
    version, flashinfer = packages.version(name), packages.version("flashinfer-python")
    if version is None:
        return Row(name, "green", "not installed: compiled or fetched at first use", "optional")
    # A build for one CUDA carries it behind a plus sign.
    if flashinfer is None or version.partition("+")[0] == flashinfer.partition("+")[0]:
        return Row(name, "green", version, f"{flashinfer or 'any'}, or none")
    action = "`flashinfer download-kernels` fetches those that fit; `pip uninstall` removes it."
    return Row(name, "amber", version, f"{flashinfer}, or none", action)


def _compilers(
    needs: Needs, find_program: Callable[[str], str | None], environment: Mapping[str, str]
) -> Iterator[Row]:
    if not needs.on_gpu:
        yield Row("compilers", "green", "not looked at", "none: nothing is compiled on the CPU")
        return
    home = environment.get("CUDA_HOME") or environment.get("CUDA_PATH")
    nvcc = find_program(str(Path(home) / "bin" / "nvcc")) if home else find_program("nvcc")
    if nvcc is None and home is None:
        nvcc = find_program("/usr/local/cuda/bin/nvcc")
    built = torch_cuda()
    wanted = f"CUDA {built[0]}.{built[1]} or newer, as torch's"
    toolkit = "Install the CUDA toolkit and set CUDA_HOME: kernels are compiled at first use."
    if nvcc is None:
        yield Row("nvcc", "amber", f"not found{f' in {home}' if home else ''}", wanted, toolkit)
    else:
        release = _nvcc_release(nvcc)
        status: Status = "green" if release >= built else "amber"
        measured = f"{release[0]}.{release[1]}, {nvcc}"
        yield Row("nvcc", status, measured, wanted, None if status == "green" else toolkit)
    yield _program("ninja", ("ninja",), find_program)
    yield _program("C++ compiler", (environment.get("CXX") or "g++", "c++"), find_program)


def _program(
    subject: str, names: tuple[str, ...], find_program: Callable[[str], str | None]
) -> Row:
    found = next((place for name in names if (place := find_program(name))), None)
    if found is not None:
        return Row(subject, "green", found, "on PATH")
    if find_program(str(Path(sys.executable).parent / names[0])):
        action = "Start by `uv run`, or activate the environment: `source .venv/bin/activate`."
        return Row(subject, "amber", "beside Python, and not on PATH", "on PATH", action)
    action = f"Install {names[0]}: kernels are compiled at first use."
    return Row(subject, "amber", "not found", "on PATH", action)


def _nvcc_release(nvcc: str) -> tuple[int, int]:
    said = subprocess.run(
        [nvcc, "--version"], capture_output=True, text=True, check=False, timeout=_NVCC_SECONDS
    ).stdout
    found = re.search(r"release (\d+)\.(\d+)", said)
    if found is None:
        raise NoAnswerError(f"{nvcc} does not tell its version")
    return int(found[1]), int(found[2])


def _parsed(packages: Packages, name: str) -> list[Requirement]:
    """What a package requires here, without extras."""
    # huggingface-hub brings it, and the base has huggingface-hub.
    from packaging.requirements import Requirement  # noqa: PLC0415

    parsed = [Requirement(text) for text in packages.requirements(name)]
    return [each for each in parsed if each.marker is None or each.marker.evaluate({"extra": ""})]


def _same(one: str, other: str) -> bool:
    """Whether two spellings are one distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def _told(name: str) -> bool:
    """Whether a package has a row of its own."""
    return any(_same(name, each) for each in ASKED_BY)
