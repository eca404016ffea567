"""The file of `--config`: YAML or TOML, from a stranger's hands until it is read.

What a file may cost is bounded here: its size, its nodes and how deep they are nested, before
anything is made of them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from launcher.config.fields.outside import shown
from launcher.config.server_config import ServerConfig
from launcher.errors import ConfigFileError, UnknownKeyError
from launcher.system.foreign import read_foreign
from launcher.text import nearest

FIELD_NAMES: Final = frozenset(ServerConfig.model_fields)
LARGEST_FILE_BYTES: Final = 1024**2
# A field takes a value, a list or a mapping of them, so that two levels would do.
DEEPEST_LEVELS: Final = 16
MOST_NODES: Final = 10_000
# YAML 1.1 reads 010 as eight and 1:30 as ninety.
MISREAD_NUMBER: Final = re.compile(r"[-+]?0[0-9_]+|.*:.*")
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
NUMBER_TAGS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_WRITTEN_TAGS: Final = NUMBER_TAGS | {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}


class TooMuchError(yaml.MarkedYAMLError):
    """A file within the rules of YAML, and beyond ours."""


class BoundedLoader(yaml.SafeLoader):
    """Counts while it composes, so that what is beyond the bounds is never built."""

    deepest_levels = DEEPEST_LEVELS
    most_nodes = MOST_NODES

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._levels = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node, or an alias of one."""
        self._nodes += 1
        self._levels += 1
        if self._levels > self.deepest_levels:
            raise self._too_much(f"is nested deeper than {self.deepest_levels} levels")
        if self._nodes > self.most_nodes:
            raise self._too_much(f"has more than {self.most_nodes:,} values")
        node = super().compose_node(parent, index)
        self._levels -= 1
        return node

    def _too_much(self, problem: str) -> TooMuchError:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        return TooMuchError(problem=problem, problem_mark=event.start_mark)


def read_config_file(path: Path) -> dict[str, Any]:
    """Fields of a YAML or TOML file.

    Raises:
        ConfigFileError: missing, unreadable, malformed, no mapping, a key twice, or an ending
            that is neither YAML's nor TOML's. Values are never part of the message.
        UnknownKeyError: a key names no field.
    """
    try:
        # Editors of some systems begin a file with a mark.
        text = read_foreign(path, most_bytes=LARGEST_FILE_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigFileError(
            f"The config file {path} cannot be read: {why}.",
            action="Check the path given with --config.",
        ) from error
    if path.suffix in {".yaml", ".yml"}:
        fields = _parse_yaml(path, text)
    elif path.suffix == ".toml":
        fields = _parse_toml(path, text)
    else:
        raise ConfigFileError(
            f"The config file {path} ends in {path.suffix or 'nothing'!r}.",
            action="Use .yaml, .yml or .toml.",
        )
    # `--config` files are ours, not SGLang's, whose keys are spelled with dashes.
    return {key.replace("-", "_"): value for key, value in fields.items()}


def _parse_toml(path: Path, text: str) -> dict[str, Any]:
    try:
        fields = tomllib.loads(text)
    except RecursionError:
        raise ConfigFileError(
            f"The config file {path} is nested deeper than a configuration is.",
            action="A field takes a value, or a list of values.",
        ) from None
    except ValueError as error:
        lines = text.split("\n")
        end = f"at the end, line {len(lines)}, column {len(lines[-1]) + 1}"
        raise ConfigFileError(
            f"The config file {path} is not TOML: {str(error).replace('at end of document', end)}.",
            action="Mend that line.",
        ) from None
    seen: set[str] = set()
    for key in fields:
        _check_key(key, f"{path}", seen)
    return fields


def _parse_yaml(path: Path, text: str) -> dict[str, Any]:
    try:
        node = yaml.compose(text, Loader=BoundedLoader)
    except TooMuchError as error:
        where = f", {_place(error.problem_mark)}," if error.problem_mark else ""
        raise ConfigFileError(
            f"The config file {path}{where} {error.problem}.",
            action="A field takes a value, or a list of values.",
        ) from None
    except yaml.YAMLError as error:
        raise _not_yaml(path, text, error) from None
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigFileError(
            f"The config file {path} holds no mapping of fields to values.",
            action="Write one `field: value` a line.",
        )
    seen: set[str] = set()
    for key_node, _ in node.value:
        where = f"{path}, {_place(key_node.start_mark)}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigFileError(f"{where}: a key is no word.", action="Mend that line.")
        # PyYAML keeps the last of two equal keys without a word.
        _check_key(key_node.value, where, seen)
    return {key_node.value: _yaml_value(path, text, value) for key_node, value in node.value}


def _yaml_value(path: Path, text: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        # Of variables: the digits and words as they are written, which yes and 1.10 would lose.
        node = _as_text(path, node)
    loader = yaml.SafeLoader("")
    for number in _numbers_in(node):
        if MISREAD_NUMBER.fullmatch(number.value):
            raise ConfigFileError(
                f"The config file {path}, {_place(number.start_mark)}, has a number with a leading "
                "zero or a colon, which YAML reads as octal or as minutes and seconds.",
                action="Write it as a plain decimal number, or in quotes where it is text.",
            )
    try:
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _not_yaml(path, text, error) from None
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
        # As for a date in month 13, or a tag that the text does not fit: the library's own slips.
        raise ConfigFileError(
            f"The config file {path}, {_place(node.start_mark)}, has a value that YAML cannot "
            "read.",
            action="Mend that line; quotes make text of it.",
        ) from None
    finally:
        loader.dispose()


def _as_text(path: Path, node: yaml.MappingNode) -> yaml.MappingNode:
    """A mapping in which numbers, true and false are text; keys stand once."""
    seen: set[str] = set()
    pairs = []
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                where = f"{path}, {_place(key.start_mark)}"
                raise ConfigFileError(
                    f"{where}: the key {shown(key.value)} stands twice.", action="Keep one."
                )
            seen.add(key.value)
        pairs.append((_plain_text(key), _plain_text(value)))
    # A copy: an alias may stand for the same node elsewhere.
    return yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark)


def _plain_text(node: yaml.Node) -> yaml.Node:
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _WRITTEN_TAGS:
        return node
    return yaml.ScalarNode(_TEXT_TAG, node.value, node.start_mark, node.end_mark)


def _numbers_in(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """The numbers of a value, or of a list of them."""
    for inner in node.value if isinstance(node, yaml.SequenceNode) else (node,):
        if isinstance(inner, yaml.ScalarNode) and inner.tag in NUMBER_TAGS:
            yield inner


def _not_yaml(path: Path, text: str, error: yaml.YAMLError) -> ConfigFileError:
    where = ""
    problem = "it cannot be parsed"
    if isinstance(error, yaml.MarkedYAMLError):
        where = f", {_place(error.problem_mark)}," if error.problem_mark else ""
        # A quoted word may be a part of a value, as the name of an alias is; a token's name, in
        # angle brackets, and a single character are not.
        problem = re.sub(
            r"(['\"])(?P<quoted>.*?)\1",
            lambda match: match[0] if re.match(r"<|.?$", match["quoted"]) else "'...'",
            error.problem or problem,
        )
    elif isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position].split("\n")
        where = f", line {len(before)}, column {len(before[-1]) + 1},"
        problem = "a control character is not allowed"
    return ConfigFileError(
        f"The config file {path}{where} is not YAML: {problem}.", action="Mend that line."
    )


def _place(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _check_key(key: str, where: str, seen: set[str]) -> None:
    field = key.replace("-", "_")
    if field in seen:
        raise ConfigFileError(f"{where}: the key {shown(key)} stands twice.", action="Keep one.")
    seen.add(field)
    check_known(field, f"{where}: the key {shown(key)}")


def check_known(field: str, subject: str) -> None:
    """Refuse a name that is no field's; `subject` says whose, as the beginning of a sentence.

    Raises:
        UnknownKeyError: it is none; the nearest is named.
    """
    if field not in FIELD_NAMES:
        raise UnknownKeyError(
            f"{subject} names no field{nearest(field, FIELD_NAMES)}.",
            action="`python -m launcher config show` lists all fields.",
            key=field,
        )
