"""Tries the clients on a server; as a program, records what came of it.

python -m tests.third_party.outcomes http://127.0.0.1:8001
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from tests.third_party.catalogue import CLIENTS, Client
from tests.third_party.environment import FOLDER, Environment, prepare, scripts_of_node

RESULTS: Final = FOLDER / "results.json"
PROJECT: Final = FOLDER.parent.parent
# More would wait for the same two cores.
AT_A_TIME: Final = 2
_LONGEST_SECONDS: Final = 600
_SHOWN_CHARACTERS: Final = 300
# None of them sends word to its makers, nor loads a list of prices.
_QUIET: Final = {
    "ANONYMIZED_TELEMETRY": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}
_KEPT: Final = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a feature with a client.

    Attributes:
        client: its name in the catalogue.
        version: of its package.
        feature: a key of the catalogue's features.
        result: `limit` is the client's or the model's own, and `fails` is the server's fault.
        detail: what there is to say; of a failure, the first line.
    """

    client: str
    version: str
    feature: str
    result: Literal["works", "limit", "fails"]
    detail: str


def try_client(client: Client, url: str, environment: Environment) -> dict[str, Outcome]:
    """Run a client's script.

    Args:
        client: which.
        url: of the server, without `/v1`.
        environment: from `prepare()`.

    Returns:
        Feature -> what came of it.

    Raises:
        RuntimeError: the script ended before it had tried every feature.
    """
    if client.runs_in == "node":
        with scripts_of_node(environment) as folder:
            done = _run([environment.node, folder / client.program, url], folder)
    else:
        python = environment.python if client.runs_in == "python" else sys.executable
        command = [python, "-m", "tests.third_party.runner", client.program, client.package, url]
        done = _run(command, PROJECT)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    outcomes = {line["feature"]: _outcome(client, line) for line in lines}
    if set(outcomes) != set(client.features):
        missing = sorted(set(client.features) ^ set(outcomes))
        raise RuntimeError(f"{client.name}, {missing}: exit {done.returncode}\n{done.stderr}")
    return outcomes


def _run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    files = {
        "CASES_FILE": str(FOLDER / "cases.json"),
        "LOCK_FILE": str(FOLDER / "node" / "package-lock.json"),
    }
    return subprocess.run(
        command,
        cwd=folder,
        env={**environ, **_QUIET, **files},
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )


def _outcome(client: Client, line: dict[str, str]) -> Outcome:
    detail = (line["detail"].splitlines() or [""])[0][:_SHOWN_CHARACTERS]
    result: Literal["works", "limit", "fails"] = (
        "works" if line["result"] == "works" else "limit" if line["result"] == "limit" else "fails"
    )
    return Outcome(client.name, line["version"], line["feature"], result, detail)


def recorded() -> dict[tuple[str, str], Outcome]:
    """Give the recorded run: client and feature -> what came of it."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {(row["client"], row["feature"]): Outcome(**row) for row in rows}


def record(outcomes: Iterable[Outcome]) -> None:
    """Write the record, a line for each outcome."""
    lines = ",\n".join(json.dumps(asdict(outcome)) for outcome in outcomes)
    RESULTS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> None:
    """Try every client and write the record."""
    url = sys.argv[1]
    environment = prepare()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        tried = list(pool.map(lambda client: try_client(client, url, environment), CLIENTS))
    record(
        outcomes[feature]
        for client, outcomes in zip(CLIENTS, tried, strict=True)
        for feature in client.features
    )


if __name__ == "__main__":
    main()
