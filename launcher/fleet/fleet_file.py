"""What a fleet is: a YAML file, from a stranger's hands until it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from launcher.config.config_file import MISREAD_NUMBER, NUMBER_TAGS, BoundedLoader
from launcher.config.fields.outside import shown
from launcher.config.gateway_config import Policy
from launcher.errors import ConfigFileError, InvalidValueError, UnknownKeyError
from launcher.system.foreign import read_foreign
from launcher.text import nearest

LARGEST_FILE_BYTES: Final = 1024**2
MOST_REPLICAS: Final = 64
# Longer ones leave no room for the names of the members, which are its own with an ending.
NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}"


class GatewayPart(BaseModel):
    """Where the fleet's one address is, and how it chooses among the servers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    policy: Policy = Field(default="cache_aware", description="How a request's server is chosen.")
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of its metrics; unset: `port` + 100."
    )
    extra_args: tuple[str, ...] = Field(
        default=(), description="Further arguments, passed to smg as they are."
    )


class FleetConfig(BaseModel):
    """A fleet, completely described.

    Attributes:
        name: what it is called; its members' names begin so.
        replicas: servers on this machine.
        server: fields of each of them, as in a file of `up --config`, and `preset`.
        gateway: see `GatewayPart`.
        remotes: addresses of servers elsewhere, which are routed to and not owned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")] = "fleet"
    replicas: int = Field(default=2, ge=0, le=MOST_REPLICAS)
    server: dict[str, Any] = {}
    gateway: GatewayPart = GatewayPart()
    remotes: tuple[str, ...] = ()

    @field_validator("remotes")
    @classmethod
    def _are_addresses(cls, remotes: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(remotes, 1):
            parts = urlsplit(url)
            bare = not (parts.path.strip("/") or parts.query or parts.fragment)
            bare = bare and "@" not in parts.netloc and _has_port_or_none(parts.netloc)
            if parts.scheme not in {"http", "https"} or not parts.hostname or not bare:
                # It may hold a password, so it is not shown.
                raise ValueError(f"number {number} is not http://HOST:PORT")
        plain = tuple(url.rstrip("/") for url in remotes)
        if len(set(plain)) < len(plain):
            raise ValueError("one address stands there twice")
        return plain


def _has_port_or_none(netloc: str) -> bool:
    """Whether what stands behind the host's colon, if anything does, is a port."""
    try:
        return urlsplit(f"//{netloc}").port != 0
    except ValueError:
        return False


def read_fleet_file(path: Path) -> FleetConfig:
    """Read and check a fleet's file; the fields of `server` are checked where they are laid out.

    Raises:
        ConfigFileError: missing, unreadable, malformed, no mapping, or a key twice.
        UnknownKeyError: a key names nothing of a fleet.
        InvalidValueError: a value has the wrong type or is out of range.
    """
    content = _load(path)
    try:
        return FleetConfig.model_validate(content)
    except ValidationError as error:
        raise _describe(error, path) from None


def _load(path: Path) -> Any:
    try:
        text = read_foreign(path, most_bytes=LARGEST_FILE_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigFileError(
            f"The fleet file {path} cannot be read: {why}.", action="Check the path."
        ) from error
    try:
        loader = BoundedLoader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ConfigFileError(
                f"The fleet file {path} holds no mapping.",
                action="Write `replicas: 2` and `server:` with the fields of a configuration.",
            )
        _check_nodes(path, node)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1},"
        raise ConfigFileError(
            f"The fleet file {path}{where} is not YAML.", action="Mend that line."
        ) from None
    except RecursionError:
        raise ConfigFileError(
            f"The fleet file {path} has an alias within what it stands for.",
            action="Write out what it stands for.",
        ) from None
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
        # As for a date in month 13: the library's own slips.
        raise ConfigFileError(
            f"The fleet file {path} has a value that YAML cannot read.",
            action="Put what is text in quotes.",
        ) from None


def _check_nodes(path: Path, node: yaml.Node) -> None:
    """Refuse a key that stands twice, of which PyYAML keeps the last, and misread numbers."""
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _check_nodes(path, one)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            where = f"The fleet file {path}, line {key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigFileError(f"{where}: a key is no word.", action="Mend that line.")
            if key.value in seen:
                raise ConfigFileError(
                    f"{where}: the key {shown(key.value)} stands twice.", action="Keep one."
                )
            seen.add(key.value)
            _check_nodes(path, value)
    elif node.tag in NUMBER_TAGS and MISREAD_NUMBER.fullmatch(node.value):
        raise ConfigFileError(
            f"The fleet file {path}, line {node.start_mark.line + 1}, has a number with a leading "
            "zero or a colon, which YAML reads as octal or as minutes and seconds.",
            action="Write it as a plain decimal number, or in quotes where it is text.",
        )


def _describe(error: ValidationError, path: Path) -> UnknownKeyError | InvalidValueError:
    problems = []
    for detail in error.errors(include_url=False, include_input=False):
        place = ".".join(map(str, detail["loc"]))
        if detail["type"] == "extra_forbidden":
            key = str(detail["loc"][-1])
            inside = GatewayPart if detail["loc"][0] == "gateway" else FleetConfig
            return UnknownKeyError(
                f"The fleet file {path}: the key {shown(key)} names nothing of "
                f"{'a gateway' if inside is GatewayPart else 'a fleet'}"
                f"{nearest(key, inside.model_fields)}.",
                action=f"There are: {', '.join(inside.model_fields)}. Fields of the servers stand "
                "below `server:`.",
                key=key,
            )
        problems.append(f"{place}: {detail['msg'].removeprefix('Value error, ')}")
    return InvalidValueError(
        f"The fleet file {path} is not valid: {'; '.join(problems)}.",
        action="docs/scaling.md has an example with each key.",
    )
