"""Probes of what is installed: versions, whether they agree, compilers. Imports none of it."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from launcher.doctor.probes import NoAnswerError, Row, dotted, probe
from launcher.doctor.readers import FindProgram, Packages, Readers
from launcher.doctor.target import ServingTarget
from launcher.engines.common.environments import list_environments
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
_probe = partial(probe, "packages")


@_probe("python", source="`pyproject.toml`")
def _python(_: ServingTarget, __: Readers) -> Row:
    return Row("Python", "green", platform.python_version(), "3.11 or newer")


@_probe(
    "sglang",
    amber="another version than the verified one",
    red="not installed",
    remedy="`uv sync`, or `pip install '.[engine]'`",
    source="`launcher.engines.sglang.version.VERIFIED_VERSION`",
)
def _engine(target: ServingTarget, _: Readers) -> Row:
    name, verified = target.engine.distribution, target.engine.verified_version
    try:
        version = target.engine_version
    except EngineMissingError as error:
        return Row(name, "red", "not installed", verified, error.action)
    action = f"Flags and causes are known for {verified}. {_SYNC}"
    return Row.judged(name, version, verified, amber=version != verified, action=action)


@_probe(
    "versions",
    amber="another version than sglang, or torch for triton, requires",
    red="not installed",
    remedy="`uv sync`, or `pip install '.[engine]'`",
    source="the metadata of sglang and torch",
)
def _versions(target: ServingTarget, readers: Readers) -> Iterator[Row]:
    packages = readers.packages
    if _is_elsewhere(target):
        # By the metadata of its own environment.
        for name, there in target.engine.versions().items():
            if name in {"torch", "transformers"}:
                yield Row(name, "green", there, "as it was installed with the engine")
        return
    if packages.version("sglang") is None:
        return
    for name, asking in ASKED_BY.items():
        wanted = [each for each in _parsed(packages, asking) if _same(each.name, name)]
        version = packages.version(name)
        said = f"{wanted[0].specifier or 'any'} ({asking})" if wanted else f"any ({asking})"
        yield Row.judged(
            name,
            version or "not installed",
            said,
            red=version is None,
            amber=not all(_satisfies(version, each) for each in wanted),
            action=_SYNC,
        )


@_probe(
    "requirements",
    amber="any other requirement of sglang is missing or has another version",
    remedy="`uv sync`, or `pip install '.[engine]'`",
    source="sglang's metadata, without extras",
)
def _requirements(target: ServingTarget, readers: Readers) -> Iterator[Row]:
    packages = readers.packages
    if _is_elsewhere(target):
        return
    wanted = [each for each in _parsed(packages, "sglang") if not _told(each.name)]
    wrong = []
    for each in wanted:
        version = packages.version(each.name)
        if version is None:
            wrong.append(f"{each.name} is missing")
        elif not _satisfies(version, each):
            wrong.append(f"{each.name} {version} is not {each.specifier}")
    if not wanted:
        return
    more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    measured = f"{', '.join(wrong[:_SHOWN])}{more}" if wrong else "as its metadata says"
    others = f"all {len(wanted)} others"
    yield Row.judged("sglang's requirements", measured, others, amber=bool(wrong), action=_SYNC)


@_probe(
    "flashinfer-kernels",
    amber="installed in another version than flashinfer-python, which then ignores it",
    remedy="`flashinfer download-kernels`, or uninstall it",
    source="flashinfer 0.7.2, `jit/env.py`",
)
def _kernels(target: ServingTarget, readers: Readers) -> Iterator[Row]:
    if _is_elsewhere(target):
        return
    flashinfer = readers.packages.version("flashinfer-python")
    wanted = f"{flashinfer or 'any'}, or none"
    action = "`flashinfer download-kernels` fetches those that fit; `pip uninstall` removes it."
    for name in FLASHINFER_KERNELS:
        version = readers.packages.version(name)
        if version is None:
            yield Row(name, "green", "not installed: compiled or fetched at first use", "optional")
            continue
        # A build for one CUDA carries it behind a plus sign.
        fits = flashinfer is None or version.partition("+")[0] == flashinfer.partition("+")[0]
        yield Row.judged(name, version, wanted, amber=not fits, action=action)


@_probe(
    "compilers",
    amber="nvcc, ninja or a C++ compiler is missing, or nvcc is older than torch's CUDA; only "
    "where a GPU is needed",
    remedy="the CUDA toolkit and CUDA_HOME, ninja, g++; activate the environment",
    source="sglang, `kernels/jit/utils/compile/toolchain.py`, and flashinfer 0.7.2, "
    "`jit/cpp_ext.py`: CUDA_HOME, CUDA_PATH, nvcc on PATH, `/usr/local/cuda`; docs/diagnoses.md, "
    "`kernel-compiler-missing`",
)
def _compilers(target: ServingTarget, readers: Readers) -> Iterator[Row]:
    if not target.on_gpu:
        yield Row("compilers", "green", "not looked at", "none: nothing is compiled on the CPU")
        return
    environment, find_program = readers.environment, readers.find_program
    home = environment.get("CUDA_HOME") or environment.get("CUDA_PATH")
    places = (f"{Path(home) / 'bin' / 'nvcc'}",) if home else ("nvcc", "/usr/local/cuda/bin/nvcc")
    nvcc = _first_found(places, find_program)
    built = readers.torch_cuda()
    wanted = f"CUDA {dotted(built)} or newer, as torch's"
    toolkit = "Install the CUDA toolkit and set CUDA_HOME: kernels are compiled at first use."
    if nvcc is None:
        yield Row("nvcc", "amber", f"not found{f' in {home}' if home else ''}", wanted, toolkit)
    else:
        release = _nvcc_release(nvcc)
        measured = f"{dotted(release)}, {nvcc}"
        yield Row.judged("nvcc", measured, wanted, amber=release < built, action=toolkit)
    yield _program("ninja", ("ninja",), find_program)
    yield _program("C++ compiler", (environment.get("CXX") or "g++", "c++"), find_program)


@_probe(
    "engine-environments",
    amber="an installation was broken off, or its Python has gone",
    remedy="`python -m launcher engine install vllm --force`",
    source="the user's data folder, `specserve/engines`",
)
def _environments(_: ServingTarget, __: Readers) -> Iterator[Row]:
    found = list_environments()
    if not found:
        yield Row("engine environments", "green", "none", "optional: `engine install vllm`")
    for each in found:
        action = "Make it anew: `python -m launcher engine install vllm --force`."
        measured = str(each.folder) if each.is_whole else f"not whole: {each.folder}"
        yield Row.judged(each.name, measured, "whole", amber=not each.is_whole, action=action)


def _is_elsewhere(target: ServingTarget) -> bool:
    """Whether the engine has an environment of its own, of which this one's packages say nothing.

    It is asked where its interpreter is, and need not be there.
    """
    return target.engine.interpreter != Path(sys.executable)


def _first_found(names: tuple[str, ...], find_program: FindProgram) -> str | None:
    return next((place for name in names if (place := find_program(name))), None)


def _program(subject: str, names: tuple[str, ...], find_program: FindProgram) -> Row:
    found = _first_found(names, find_program)
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


def _satisfies(version: str | None, requirement: Requirement) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)


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


PROBES: Final = (
    *(_python, _engine, _versions, _requirements, _kernels, _environments, _compilers),
)
