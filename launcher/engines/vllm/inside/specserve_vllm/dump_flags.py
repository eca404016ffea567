"""Describe vLLM's command line as JSON: `python -m specserve_vllm.dump_flags`.

Always in a process of its own, in vLLM's environment: importing vLLM takes twenty seconds.
`launcher.engines.vllm.options.flags` reads what it prints.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from typing import Any, Final

_TYPE_NAMES: Final[dict[object, str]] = {int: "int", float: "float", json.loads: "json"}


def describe(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """One entry per option: its spellings, whether it takes values, their type and choices."""
    entries = []
    for action in parser._actions:  # noqa: SLF001  # argparse has no public listing
        if not action.option_strings or isinstance(action, argparse._HelpAction):  # noqa: SLF001
            continue
        entry: dict[str, Any] = {"options": list(action.option_strings)}
        if action.nargs is not None:
            entry["nargs"] = action.nargs
        if (type_name := _TYPE_NAMES.get(action.type)) is not None:
            entry["type"] = type_name
        if action.choices is not None:
            entry["choices"] = sorted(str(choice) for choice in action.choices)
        entries.append(entry)
    return entries


def main() -> None:
    """Print the version and the options to standard output, everything else to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        import vllm  # noqa: PLC0415
        from vllm import envs  # noqa: PLC0415
        from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

        try:
            from vllm.entrypoints.launchers.cli_args import make_arg_parser  # noqa: PLC0415
        except ImportError:
            from vllm.entrypoints.openai.cli_args import make_arg_parser  # noqa: PLC0415
        parser = make_arg_parser(FlexibleArgumentParser())
    # A build's own suffix is no other version of the parser.
    version = vllm.__version__.partition("+")[0]
    table = {
        "vllm": version,
        "options": describe(parser),
        "variables": sorted(envs.environment_variables),
    }
    sys.stdout.write(json.dumps(table, indent=0) + "\n")


if __name__ == "__main__":
    main()
