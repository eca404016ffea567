"""Write the parts of the documents that the code knows, or check that they are up to date.

Such a part stands between the lines `BEGIN` and `END` of its document.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from clients.conformance.table import ALL
from launcher.doctor.table import PROBES
from launcher.engines.causes import CauseTable, ErrorCause, LogCause, SilentCause
from launcher.engines.sglang.causes.table import CAUSES as SGLANG_CAUSES
from launcher.engines.vllm.causes.table import CAUSES as VLLM_CAUSES
from tests.third_party.catalogue import CLIENTS, FEATURES, fault
from tests.third_party.outcomes import Outcome, recorded

PROJECT: Final = Path(__file__).parent.parent
BEGIN: Final = "<!-- generated: make docs -->"
END: Final = "<!-- end -->"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = (header, ["---"] * len(header), *rows)
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)


def known_causes() -> str:
    """The table of docs/diagnoses.md."""
    return _causes(SGLANG_CAUSES, frozenset())


def vllm_causes() -> str:
    """The table of docs/vllm-causes.md: what that of docs/diagnoses.md does not have."""
    shared = {
        name
        for name, cause in {**SGLANG_CAUSES.errors, **SGLANG_CAUSES.echoes}.items()
        if cause in (*VLLM_CAUSES.errors.values(), *VLLM_CAUSES.echoes.values())
    }
    return _causes(VLLM_CAUSES, frozenset(shared))


def _causes(causes: CauseTable, left_out: frozenset[str]) -> str:
    """One row for each cause, also for one that stands in two parts of the search."""
    parts = (causes.errors, causes.general, causes.echoes, causes.silent)
    rows = []
    for name in dict.fromkeys(name for part in parts for name in part if name not in left_out):
        found = [part[name] for part in parts if name in part]
        signs = "; or ".join(map(_sign, found))
        first = found[0]
        sure = first.confidence.value
        rows.append((f"`{name}`", signs, _remedy(first), sure, first.retry.value))
    return table(("Cause", "What it looks like", "What to do", "How sure", "Started again"), rows)


def _sign(cause: LogCause | ErrorCause | SilentCause) -> str:
    if cause.looks or not isinstance(cause, LogCause):
        return cause.looks
    return ", ".join(_code(line.strip()) for line in cause.sample.split("\n"))


def _remedy(cause: LogCause | ErrorCause | SilentCause) -> str:
    """What to do; what an action takes from the log or the configuration is left open."""
    spans = (cause.remedy or re.sub(r"\{[^}]*\}", "…", str(cause.action))).split("`")
    # Every other one is in backticks already; in the rest, flags are put there.
    spans[::2] = [
        re.sub(r"--[a-z][\w-]*(?: (?:cpu|\d[\d.]*))?", r"`\g<0>`", span) for span in spans[::2]
    ]
    return "`".join(spans)


def _code(text: str) -> str:
    """A span of code, whatever backticks the text has."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def documented_probes() -> str:
    """The table of docs/doctor.md: when a probe is amber or red, what helps, and how we know."""
    header = ("Probe", "Group", "Amber", "Red", "What to do", "Source")
    rows = [
        (f"`{probe.name}`", probe.group, probe.amber, probe.red, probe.remedy, probe.source)
        for probe in PROBES
    ]
    return table(header, rows)


def documented_checks() -> str:
    """The table of docs/check.md: what each line sends, what is owed, where that is written."""
    rows = [
        (f"`{check.id}`", _literal(check.sent), _literal(check.contract), _links(check.source))
        for check in ALL
    ]
    return table(("Line", "What is sent", "Contract", "Source"), rows)


def _literal(text: str) -> str:
    """A text whose angle brackets and backslashes are no markup."""
    return text.replace("\\", "\\\\").replace("<", "&lt;")


def _links(source: str) -> str:
    return re.sub(r"(?:^|(?<=; ))([^;]*?): (https://[^;\s]+)", r"[\1](\2)", source)


def third_party_clients() -> str:
    """The tables of docs/third-party-clients.md: what a recorded run found, and what it said."""
    found = recorded()
    matrix, notes = [], []
    for client in CLIENTS:
        outcomes = {feature: found[client.name, feature] for feature in client.features}
        version = next(iter(outcomes.values())).version
        cells = [_whose(outcomes.get(feature)) for feature in FEATURES]
        matrix.append((f"{client.name} {version}", *cells))
        said: dict[tuple[str, str], list[str]] = {}
        for feature, outcome in outcomes.items():
            known = fault(client, feature) if outcome.result == "fails" else None
            text = known.reason if known else outcome.detail
            if text:
                said.setdefault((_whose(outcome), text), []).append(FEATURES[feature])
        notes += [(client.name, "; ".join(of), *told) for told, of in said.items()]
    what = table(("Client", *FEATURES.values()), matrix)
    why = table(("Client", "Feature", "Result", "How, or why"), notes)
    return f"{what}\n\n{why}"


def _whose(outcome: Outcome | None) -> str:
    """Works, or what keeps it from working: the client, the model or the server."""
    if outcome is None:
        return "-"
    if outcome.result == "limit":
        return outcome.detail.partition(":")[0]
    return {"works": "works", "fails": "**server**"}[outcome.result]


# Document, from the root of the project -> what stands in its generated part.
DOCUMENTS: Final[Mapping[str, Callable[[], str]]] = {
    "docs/check.md": documented_checks,
    "docs/diagnoses.md": known_causes,
    "docs/doctor.md": documented_probes,
    "docs/third-party-clients.md": third_party_clients,
    "docs/vllm-causes.md": vllm_causes,
}


def generate(text: str, part: str) -> str:
    """A document's text with its generated part as given.

    Raises:
        ValueError: the document has no such part.
    """
    head, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, tail = rest.partition(f"{END}\n")
    if not end:
        raise ValueError(f"no lines {BEGIN!r} and {END!r} in this order")
    return f"{head}{begin}\n{part}\n\n{end}{tail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 where `--check` finds a document that is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, name stale documents")
    check = parser.parse_args(arguments).check
    stale = []
    for name, render in DOCUMENTS.items():
        file = PROJECT / name
        text = file.read_text(encoding="utf-8")
        generated = generate(text, render())
        if generated == text:
            continue
        stale.append(name)
        if not check:
            file.write_text(generated, encoding="utf-8")
    for name in stale:
        what = "not up to date, run `make docs`" if check else "written"
        sys.stdout.write(f"{name}: {what}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
