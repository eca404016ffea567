"""SGLang's command line, as a table that can be checked without importing SGLang.

The table of the pinned version ships with the launcher. For any other installed version it is made
once by `python -m launcher.engines.sglang.options.dump_flags` in a process of its own and kept in
the cache folder.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.resources
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import platformdirs

from launcher.errors import EngineBrokenError, StateError, UnknownFlagError
from launcher.system import private
from launcher.system.files import make_private_folder, write_atomically
from launcher.system.foreign import parse_json
from launcher.text import nearest

LARGEST_TABLE_BYTES: Final = 16 * 1024**2
DUMP_TIMEOUT_SECONDS: Final = 180.0
_NEGATIVE: Final = re.compile(r"-\d+|-\d*\.\d+")


@dataclass(frozen=True, slots=True)
class GivenOption:
    """One option of a command line, or a value that stands free.

    Attributes:
        words: as written, the option first.
        spelled: the option as written, without what an equals sign attaches; "" of a free value.
        option: its first spelling; None where it is none, or may be several.
        values: what belongs to it.
    """

    words: tuple[str, ...]
    spelled: str
    option: str | None
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlagTable:
    """The options of one version of SGLang."""

    version: str
    options: tuple[dict[str, Any], ...]

    @property
    def names(self) -> frozenset[str]:
        """Every spelling of every option."""
        return frozenset(name for option in self.options for name in option["options"])

    def check(self, arguments: Sequence[str]) -> None:
        """Refuse what the server's own parser would refuse.

        Options whose values SGLang parses in a way of its own are checked for their presence
        only.

        Raises:
            UnknownFlagError: an unknown option, a missing or surplus value, a value of the wrong
                type or outside the choices.
        """
        self._parser().parse_args(list(arguments))

    def refusals(self, arguments: Sequence[str]) -> list[UnknownFlagError]:
        """An error for each argument that looks like an option and is none, or may be several.

        A value that stands free may be a secret that lost its flag: it is not echoed.
        """
        found = []
        every = self.split(arguments)
        if free := sum(not given.spelled for given in every):
            problem = f"takes no free-standing value, and {free} were given"
            found.append(self.refusal(problem))
        for given in every:
            if not given.spelled or given.option is not None:
                continue
            meant = self._meant(given.spelled)
            hint = nearest(given.spelled, self.names)
            found.append(
                self.refusal(f"takes {given.spelled} for any of {', '.join(meant)}")
                if meant
                else self.refusal(f"has no option {given.spelled}{hint}")
            )
        return found

    def refusal(self, what: str) -> UnknownFlagError:
        """An error about this command line; `what` follows its name in the sentence."""
        return UnknownFlagError(
            f"The command line of SGLang {self.version} {what}.",
            action="`python -m sglang.launch_server --help` lists its options.",
        )

    def canonical(self, argument: str) -> str | None:
        """The first spelling of the option that `argument` (`--flag` or `--flag=value`) means.

        None where it means no option, or may mean several.
        """
        meant = self._meant(argument)
        return meant[0] if len(meant) == 1 else None

    def split(self, arguments: Sequence[str]) -> list[GivenOption]:
        """Cut a command line into its options, each with the values that the parser would give it.

        What no option is known for takes the words up to the next one.
        """
        found: list[GivenOption] = []
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if not _is_option(word):
                found.append(GivenOption((word,), "", None, (word,)))
                continue
            spelled, equals, attached = word.partition("=")
            option = self.canonical(word)
            most = 0 if equals else self._most_values(option)
            taken: list[str] = []
            while rest and len(taken) < most and not _is_option(rest[0]):
                taken.append(rest.pop(0))
            values = (attached,) if equals else tuple(taken)
            found.append(GivenOption((word, *taken), spelled, option, values))
        return found

    def _most_values(self, option: str | None) -> int:
        """How many words an option takes at the most; where none is known, all that follow."""
        described = next((one for one in self.options if one["options"][0] == option), None)
        nargs = "+" if described is None else described.get("nargs")
        if isinstance(nargs, int):
            return nargs
        return sys.maxsize if nargs in {"+", "*"} else 1

    def _meant(self, argument: str) -> list[str]:
        """First spellings of the options that an argument may mean to argparse."""
        spelled = argument.partition("=")[0]
        exact = [option for option in self.options if spelled in option["options"]]
        # argparse takes any unambiguous beginning of a long option.
        begun = [
            option
            for option in self.options
            if spelled.startswith("--")
            and any(str(name).startswith(spelled) for name in option["options"])
        ]
        return [str(option["options"][0]) for option in exact or begun]

    def _parser(self) -> argparse.ArgumentParser:
        parser = _StrictParser(self)
        for option in self.options:
            settings: dict[str, Any] = {"dest": option["options"][0]}
            if option.get("nargs") == 0:
                settings["action"] = "store_true"
            else:
                settings["type"] = _converter(option)
                settings["nargs"] = option.get("nargs")
            parser.add_argument(*option["options"], **settings)
        return parser


def _is_option(word: str) -> bool:
    """Whether argparse takes a word for an option: a negative number is a value."""
    return word.startswith("-") and len(word) > 1 and _NEGATIVE.fullmatch(word) is None


class _StrictParser(argparse.ArgumentParser):
    """Raises where argparse would print and exit, and names the nearest option."""

    def __init__(self, table: FlagTable) -> None:
        super().__init__(add_help=False)
        self._table = table

    def parse_args(self, args: Sequence[str]) -> argparse.Namespace:  # type: ignore[override]
        for refusal in self._table.refusals(args):
            raise refusal
        known, unknown = self.parse_known_args(args)
        if unknown:
            problem = f"takes no free-standing value, and {len(unknown)} were given"
            raise self._table.refusal(problem)
        return known

    def error(self, message: str) -> NoReturn:
        # The one message of argparse that echoes a value whatever its converter says.
        problem = "says: " + re.sub(r"(ignored explicit argument) .*", r"\1", message)
        raise self._table.refusal(problem)


def _converter(option: dict[str, Any]) -> Callable[[str], str]:
    """A check for argparse whose message does not echo the value, which may be a secret."""
    type_name = option.get("type", "text")
    choices = option.get("choices")

    def check(text: str) -> str:
        try:
            _READERS[type_name](text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"the value is not of type {type_name}") from None
        if choices is not None and text not in choices:
            raise argparse.ArgumentTypeError(f"the value is none of {', '.join(choices)}")
        return text

    return check


_READERS: Final[dict[str, Callable[[str], object]]] = {
    "int": int,
    "float": float,
    "json": parse_json,
    "text": str,
}


def load_flag_table(version: str, *, cache: Path | None = None) -> FlagTable:
    """The options of the installed version: shipped, or cached, or asked of SGLang once.

    Args:
        version: what `installed_sglang_version` returned.
        cache: folder for tables of versions that none ships for.

    Raises:
        EngineBrokenError: SGLang had to be asked, and could not be imported or said nothing of use.
    """
    name = f"sglang_flags_{version}.json"
    shipped = importlib.resources.files("launcher.engines.sglang.options").joinpath("data", name)
    if shipped.is_file():
        return _parse_table(shipped.read_text(encoding="utf-8"))
    folder = cache or platformdirs.user_cache_path("specserve")
    cached = folder / name
    with contextlib.suppress(OSError, ValueError):
        return _parse_table(private.read_bytes(cached, largest_bytes=LARGEST_TABLE_BYTES))
    text = ask_sglang()
    try:
        table = _parse_table(text)
    except ValueError as error:
        raise EngineBrokenError(
            "SGLang did not describe its options.",
            action="Run `python -m launcher.engines.sglang.options.dump_flags` and see what it "
            "prints.",
        ) from error
    # A cache that cannot be kept costs time, not the start.
    with contextlib.suppress(StateError):
        make_private_folder(folder)
        write_atomically(cached, text)
    return table


def ask_sglang() -> str:
    """What `python -m launcher.engines.sglang.options.dump_flags` prints.

    Raises:
        EngineBrokenError: it failed, or took longer than three minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "launcher.engines.sglang.options.dump_flags"],
            capture_output=True,
            text=True,
            timeout=DUMP_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineBrokenError(
            f"SGLang could not be imported within {DUMP_TIMEOUT_SECONDS:.0f} s.",
            action="Run `python -c 'import sglang.srt.server_args'` and see where it hangs.",
        ) from error
    if done.returncode != 0:
        raise EngineBrokenError(
            f"SGLang cannot be imported (exit code {done.returncode}).",
            action="Reinstall the engine: `uv sync --reinstall-package sglang`.",
            evidence=tuple(done.stderr.strip().splitlines()[-5:]),
        )
    return done.stdout


def _parse_table(text: str | bytes) -> FlagTable:
    """The table that a text describes.

    Raises:
        ValueError: it describes none.
    """
    table = parse_json(text)
    try:
        return FlagTable(version=table["sglang"], options=tuple(table["options"]))
    except (LookupError, TypeError) as error:
        raise ValueError(f"the description of the options has no {error}") from error
