"""systemd units. Source: systemd.service(5), systemd.exec(5), systemd.syntax(7)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Final

from launcher.importing.definition import Definition, names_used, unknown

_TIME: Final = re.compile(
    r"(\d+(?:\.\d+)?)\s*(msec|ms|min(?:utes?)?|m|s(?:ec(?:onds?)?)?|h(?:ours?|r)?)?"
)
_TIMES: Final = re.compile(rf"(?:\s*{_TIME.pattern})+\s*")
_SECONDS: Final = {"ms": 0.001, "m": 60.0, "h": 3600.0, "s": 1.0, "": 1.0}
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|(\$))")
_SPECIFIER: Final = re.compile(r"%([a-zA-Z%])")
_READ: Final = frozenset(
    {"ExecStart", "Environment", "Restart", "RestartSec", "WorkingDirectory", "Type"}
)
_OWN_UNIT: Final = "`python -m launcher service` writes a unit with settings of its own"
_SHOWN: Final = frozenset({"EnvironmentFile", "User", "Group", "LimitMEMLOCK", "LimitNOFILE"})
_NOTES: Final = {
    "User": "the server runs as the user who starts it",
    "Group": "the server runs as the user who starts it",
    "EnvironmentFile": "not read; put what the server needs into `environment`",
    "ExecStartPre": "not run",
    "ExecStartPost": "not run",
    "ExecStop": "the launcher stops the server itself",
    "TimeoutStopSec": "`drain_timeout_seconds` and `stop_timeout_seconds` say how it is stopped",
    "TimeoutStartSec": "`start_timeout_seconds` says how long a start may take",
}


def lines(text: str) -> Iterator[tuple[str, str]]:
    """Each setting of the section [Service] with its value."""
    section = ""
    joined = re.sub(r"\\\n\s*(?:[#;][^\n]*\n\s*)*", " ", text.replace("\r\n", "\n"))
    for line in map(str.strip, joined.split("\n")):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == "Service" and line[:1] not in {"#", ";", ""}:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def definition(text: str, name: str) -> Definition:
    """What a unit starts.

    Args:
        text: of the file.
        name: of the unit.

    Raises:
        ValueError: a quotation has no end.
    """
    settings: dict[str, list[str]] = {}
    for key, value in lines(text):
        # An empty value takes back what was said before.
        settings[key] = [*settings.get(key, []), value] if value else []
    environment: dict[str, str] = {}
    for line in settings.get("Environment", []):
        for word in shlex.split(line):
            variable, _, value = word.partition("=")
            environment[variable] = _specified(value)
    argv: list[str] = []
    for line in settings.get("ExecStart", [])[-1:]:
        for word in shlex.split(line.lstrip("-@:+!|")):
            argv += _filled_in(word, environment)
    delay = settings.get("RestartSec", [""])[-1]
    policy = settings.get("Restart", [""])[-1]
    return Definition(
        argv=tuple(argv),
        environment=environment,
        used=names_used(" ".join(settings.get("ExecStart", []))),
        folder=_specified(settings.get("WorkingDirectory", [""])[-1].removeprefix("-")),
        name=name,
        restart={"always": "always", "no": "never", "": ""}.get(policy, "on-failure"),
        restart_delay_seconds=_seconds(delay) if delay else None,
        dropped=tuple(
            # Other values may be secrets.
            f"{key}{' ' + ' '.join(values) if key in _SHOWN else ''}: {_NOTES.get(key, _OWN_UNIT)}"
            for key, values in settings.items()
            if key not in _READ and values
        ),
    )


def _filled_in(word: str, environment: dict[str, str]) -> list[str]:
    """`$NAME` alone becomes words, `${NAME}` stays in its word."""
    if re.fullmatch(r"\$[A-Za-z_]\w*", word):
        value = environment.get(word[1:])
        return [unknown(word)] if value is None else value.split()

    def value_of(found: re.Match[str]) -> str:
        return "$" if found[2] else environment.get(found[1], unknown(found[0]))

    return [_VARIABLE.sub(value_of, _specified(word))]


def _specified(text: str) -> str:
    """A text without specifiers: `%%` is a percent sign, others only systemd knows."""
    return _SPECIFIER.sub(lambda found: "%" if found[1] == "%" else unknown(found[0]), text)


def _seconds(text: str) -> float | None:
    """A time span, `1min 30s`; None where it is none that is known."""
    if not _TIMES.fullmatch(text):
        return None
    total = 0.0
    for number, unit in _TIME.findall(text):
        total += float(number) * _SECONDS["ms" if unit.startswith("ms") else unit[:1]]
    return total
