"""Let the programs themselves read what is exported to them: `make check-export`.

It runs in an environment that has the one program, and neither this project nor the other one.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import yaml


def main() -> None:
    """Read a manifest on standard input, and print what the program understood."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=["skypilot", "smg"])
    program = parser.parse_args().program
    documents = list(yaml.safe_load_all(sys.stdin))
    read = _by_skypilot if program == "skypilot" else _by_smg
    print(f"{program}: {read(documents)}")  # noqa: T201  # what it is for


def _by_skypilot(documents: list[Any]) -> str:
    import sky  # noqa: PLC0415  # in its own environment alone

    (task,) = documents
    # As `--secret` of its command line hands it over.
    secrets = [(name, "given") for name, value in task["secrets"].items() if value is None]
    made = sky.Task.from_yaml_config(task, secrets_overrides=secrets)
    return f"{made.name}, {made.resources}, {made.service}"


def _by_smg(documents: list[Any]) -> str:
    from smg.launch_router import parse_router_args  # noqa: PLC0415  # likewise

    (arguments,) = [
        container["args"]
        for document in documents
        if document.get("kind") == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
        if container["name"] == "gateway"
    ]
    made = parse_router_args(arguments)
    return f"{made.policy}, {made.selector}, {made.health_check_endpoint}"


if __name__ == "__main__":
    main()
