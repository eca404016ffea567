"""Describe the installed SGLang's command line as JSON.

`python -m launcher.engines.sglang.options.dump_flags` always runs in a process of its own, since
importing SGLang takes ten seconds and a GiB. `launcher.engines.sglang.options.flags` reads what it
prints.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from typing import Any

_TYPE_NAMES: dict[object, str] = {int: "int", float: "float", json.loads: "json"}


def describe(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """One entry per option: its spellings, whether it takes values, their type and choices."""
    entries = []
    for action in parser._actions:  # noqa: SLF001  # argparse has no public listing
        if not action.option_strings or isinstance(action, argparse._HelpAction):  # noqa: SLF001
            continue
        entry: dict[str, Any] = {"options": list(action.option_strings)}
        if action.nargs is not None:
            entry["nargs"] = action.nargs
        type_name = _TYPE_NAMES.get(action.type)
        if type_name:
            entry["type"] = type_name
        if action.choices is not None:
            entry["choices"] = sorted(str(choice) for choice in action.choices)
        entries.append(entry)
    return entries


def main() -> None:
    """Print the version and the options to standard output, everything else to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        import sglang  # noqa: PLC0415
        from sglang.srt.server_args import ServerArgs  # noqa: PLC0415

        parser = argparse.ArgumentParser()
        ServerArgs.add_cli_args(parser)
    table = {"sglang": sglang.__version__, "options": describe(parser)}
    sys.stdout.write(json.dumps(table, indent=0) + "\n")


if __name__ == "__main__":
    main()
