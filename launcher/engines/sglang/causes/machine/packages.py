"""Python packages that are missing, or whose versions exclude each other."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch
from launcher.engines.sglang.causes.advice import in_argument_check, quote, quoted_advice
from launcher.engines.sglang.prerequisites import option_of
from launcher.text import whole_number


def _missing_module(match: LogMatch) -> str:
    if match["module"] and (option := option_of(match["module"].partition(".")[0])):
        name, package = option
        return (
            f"Install it, `uv pip install '{package}'`, or leave out `-- {name}`, which needs it."
        )
    if match["what"] and (advice := quoted_advice(match.text)):
        return f"It says itself what is missing: {advice.rstrip('. ')}."
    module = match["module"].partition(".")[0]
    if not module or module in {"sglang", "zmq"}:
        return "Reinstall the engine: `uv sync --reinstall-package sglang`."
    return (
        f"Install the package that has the module {module} into the environment of the server; if "
        "it is one that SGLang itself needs, reinstall: `uv sync --reinstall-package sglang`."
    )


def _what_failed(match: LogMatch) -> str:
    if match["module"]:
        return f"A Python module is missing: No module named '{match['module']}'."
    what = (match["what"] or f"{match['library']} is missing").strip()
    return f"SGLang cannot be imported: {what.rstrip('.') or 'a library does not load'}."


def _mismatch(match: LogMatch) -> str:
    error = match.error
    said = quote(match.text) if error and match.index >= error.index else quote(match.found.string)
    return f"The versions of two packages exclude each other: {said}."


def _told_by_numbers(match: LogMatch) -> str:
    """The change for a mismatch whose two numbers say which side is older; '' for others."""
    if "numpy" in match.found[0].lower():
        newer = match["built"] and whole_number(match["built"]) > whole_number(match["here"])
        wanted = "numpy>=2" if newer else "numpy<2"
        return (
            f"Install `uv pip install '{wanted}'`, or the package that complains in a version "
            "built for the numpy that is here."
        )
    if match["operator"]:
        return (
            f"Install {match['operator']} and torch in versions that belong together, from the "
            "same index, as this SGLang asks for them."
        )
    if match["gencode"]:
        return (
            f"Install the newer one: `uv pip install 'protobuf>={match['gencode']}'` (`uv pip "
            "check` shows what held it down)."
        )
    if match["cuda"]:
        return (
            "Take the build of that package for the CUDA of the installed torch, or torch and "
            f"SGLang for CUDA {match['cuda']}; or leave out the option that needs the package."
        )
    return ""


def _package_to_align(match: LogMatch) -> str:
    """The change that makes both versions agree, as far as the text names them."""
    if match["one"] and match["other"]:
        return (
            f"Install {match['one']} in the version of {match['other']}, {match['wanted']}: "
            f"`uv pip install '{match['one']}=={match['wanted']}'`."
        )
    if told := _told_by_numbers(match):
        return told
    if match["spec"]:
        return (
            f"Install what is asked for: `uv pip install '{match['spec'].rstrip(',.')}'`; a newer "
            "or older SGLang may ask for another version."
        )
    module = (match["module"] or match["package"]).partition(".")[0]
    if match.came_through_path("transformers_modules"):
        return (
            f"The model's own code was written for another {module or 'version'}: take the version "
            "of it that the model's page names, with the SGLang of that time, or a newer revision "
            "of the model."
        )
    return (
        f"Install {module or 'both'} in the version that the installed SGLang asks for "
        "(`uv pip check` lists what does not agree)."
    )


def _imported_where(match: LogMatch) -> bool:
    return not match.end.served and not in_argument_check(match)


def _install_least(match: LogMatch) -> str:
    package = match["package"].replace("_", "-")
    wanted = f"{package}>={match['least']}"
    companions = (
        ", with flashinfer-cubin and flashinfer-jit-cache, where they are installed, in the same "
        "version"
        if package.startswith("flashinfer")
        else ""
    )
    return f"Install it: `uv pip install '{wanted}'`{companions}."


ERRORS: Final = {
    "package-too-old": LogCause(
        broken_engine=True,
        pattern=r"^Exception: (?P<package>\S+) (?:is installed with version .* minimum required "
        r"version|with minimum required version) (?P<least>[\w.]*\w)",
        sample="Exception: sglang-kernel is installed with version 0.3.21, which is less than the "
        "minimum required version 0.4.9.",
        summary="The package {package} is too old or missing: {least} is needed.",
        action=_install_least,
        remedy="Install that version, and its companions (flashinfer-cubin) in the same.",
    ),
    "package-versions": LogCause(
        broken_engine=True,
        pattern=r"^A module that was compiled using NumPy 1"
        r"|numpy\.core\.multiarray failed to import"
        r"|^[\w.]*(?:Error|Exception|Conflict|NotFound): .*?(?:"
        r"operator (?P<operator>\w+)::\w+ does not exist"
        r"|(?P<one>[\w.-]+) version \(?[\d.][\w.+]*\)? (?:does not match|is incompatible with) "
        r"(?P<other>[\w.-]+) version \(?(?P<wanted>[\d.][\w.+]*)\)?"
        r"|(?P<spec>[A-Za-z][\w.-]*(?:\[\w+\])?[<>=!~]=?[\d][\w.,<>=!~*]*)\S* is required"
        r"|requires (?:at least |the )?(?P<package>[\w-]+) ?(?:version )?[<>=~!]+ ?v?\d"
        r"|cannot import name '\w+' from (?:partially initialized module )?'(?P<module>[\w.]+)'"
        r"|No package metadata was found for (?P<absent>\S+)"
        r"|requires CUDA (?P<cuda>[\d.]+), but (?:PyTorch|torch) (?:uses|has|was built)"
        r"|gencode (?P<gencode>[\d.]+) runtime (?P<runtime>[\d.]*\d)"
        r"|numpy\.\w+ size changed(?:.*Expected (?P<built>\d+) from C header, got (?P<here>\d+))?"
        r"|compiled using NumPy 1)",
        applies=_imported_where,
        sample="RuntimeError: flashinfer-cubin version (0.7.1) does not match flashinfer version "
        "(0.7.3).\n"
        "ImportError: tokenizers>=0.21,<0.22 is required for a normal functioning of this module\n"
        "ImportError: cannot import name 'AutoModelForVision2Seq' from 'transformers'",
        summary=_mismatch,
        action=_package_to_align,
        remedy="Install the version that the text names, or that the installed SGLang asks for.",
    ),
    "library-not-found": LogCause(
        broken_engine=True,
        pattern=r"requires the (?P<library>[\w ]{1,40}?) library but it was not found",
        sample="ImportError: Qwen2VLVideoProcessor requires the Torchvision library but it was not "
        "found in your environment.",
        summary="A Python package that this model needs is not installed: {library}.",
        action=lambda match: (
            f"Install it: `uv pip install {match['library'].strip().lower().replace(' ', '-')}`, "
            "in the version that fits the installed torch."
        ),
        remedy="Install it in the version that fits the installed torch.",
    ),
    "api-changed": LogCause(
        broken_engine=True,
        confidence=Confidence.LIKELY,
        pattern=r"^AttributeError: (?:partially initialized )?module '(?P<module>[\w.]+)' has no "
        r"attribute '(?P<name>\w+)'",
        applies=_imported_where,
        sample="AttributeError: module 'flashinfer' has no attribute 'fused_moe_v2'",
        summary="The installed {module} has no {name}: most likely it is of another version than "
        "SGLang was written for.",
        action=lambda match: (
            f"Install {match['module'].partition('.')[0]} in the version that the installed SGLang "
            "asks for (`uv pip check` lists what does not agree)."
        ),
        remedy="Install that package in the version that SGLang asks for.",
    ),
    "import-failed": LogCause(
        broken_engine=True,
        pattern=r"^(?:\s*- )?(?:ImportError|ModuleNotFoundError): "
        r"(?:No module named '(?P<module>[\w.]+)'|(?P<what>.+))"
        r"|^OSError: (?P<library>lib\S+): ",
        applies=_imported_where,
        sample="ImportError: libzmq.so.5: cannot open shared object file\n"
        "ModuleNotFoundError: No module named 'zmq'",
        summary=_what_failed,
        action=_missing_module,
        remedy="Install the package that has the module; where it is the engine's own, reinstall "
        "the engine.",
    ),
}
