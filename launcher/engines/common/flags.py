"""An engine's command line, as a table that can be checked without importing the engine.

The table of the verified version ships with the launcher. For any other installed version the
engine's own parser is asked once, in a process of its own, and the answer is kept in the cache
folder.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, NoReturn

import platformdirs

from launcher.errors import EngineBrokenError, StateError, UnknownFlagError
from launcher.system import private
from launcher.system.files import make_private_folder, write_atomically
from launcher.system.foreign import parse_json
from launcher.text import nearest

LARGEST_TABLE_BYTES: Final = 16 * 1024**2
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
    """The options of one version of an engine.

    Attributes:
        version: of the engine.
        options: as the engine's own parser has them.
        engine: its name, for people.
        help_command: what lists the options.
    """

    version: str
    options: tuple[dict[str, Any], ...]
    engine: str = "SGLang"
    help_command: str = "python -m sglang.launch_server --help"

    @property
    def names(self) -> frozenset[str]:
        """Every spelling of every option."""
        return frozenset(name for option in self.options for name in option["options"])

    def check(self, arguments: Sequence[str]) -> None:
        """Refuse what the server's own parser would refuse.

        Options whose values the engine parses in a way of its own are checked for their presence
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
            f"The command line of {self.engine} {self.version} {what}.",
            action=f"`{self.help_command}` lists its options.",
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


@dataclass(frozen=True, slots=True)
class TableSource:
    """Where the tables of one engine come from.

    Attributes:
        key: names the engine in a table and in the names of files.
        engine: its name, for people.
        help_command: what lists its options.
        shipped: the folder of the tables that ship with the launcher.
        ask: asks the installed version; may raise EngineBrokenError.
        broken_action: what to do where it describes nothing.
    """

    key: str
    engine: str
    help_command: str
    shipped: Traversable
    ask: Callable[[], str]
    broken_action: str

    def load(self, version: str, *, cache: Path | None = None) -> FlagTable:
        """The options of a version: shipped, or cached, or asked of the engine once.

        Args:
            version: of the engine.
            cache: folder for tables of versions that none ships for.

        Raises:
            EngineBrokenError: the engine had to be asked, and said nothing of use.
        """
        name = f"{self.key}_flags_{version}.json"
        shipped = self.shipped.joinpath(name)
        if shipped.is_file():
            return self._parse(shipped.read_text(encoding="utf-8"))
        folder = cache or platformdirs.user_cache_path("specserve")
        cached = folder / name
        with contextlib.suppress(OSError, ValueError):
            return self._parse(private.read_bytes(cached, largest_bytes=LARGEST_TABLE_BYTES))
        text = self.ask()
        try:
            table = self._parse(text)
        except ValueError as error:
            raise EngineBrokenError(
                f"{self.engine} did not describe its options.", action=self.broken_action
            ) from error
        # A cache that cannot be kept costs time, not the start.
        with contextlib.suppress(StateError):
            make_private_folder(folder)
            write_atomically(cached, text)
        return table

    def _parse(self, text: str | bytes) -> FlagTable:
        """The table that a text describes.

        Raises:
            ValueError: it describes none.
        """
        table = parse_json(text)
        try:
            version, options = table[self.key], tuple(table["options"])
        except (LookupError, TypeError) as error:
            raise ValueError(f"the description of the options has no {error}") from error
        return FlagTable(version, options, self.engine, self.help_command)
