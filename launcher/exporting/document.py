"""Typed documents as YAML: keys in the order of their fields, unset ones left out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import yaml
from pydantic import AliasGenerator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

_WIDTH: Final = 98
_COMMENT: Final = "# "


class Node(BaseModel):
    """A part of a document. A field that is None is not written."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def as_data(self) -> dict[str, Any]:
        """The part as YAML's own types."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class CamelNode(Node):
    """A part whose keys are spelled `likeThis`, as Kubernetes has them."""

    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=to_camel))


class _Dumper(yaml.SafeDumper):
    """Lists indented below their keys, texts of several lines as blocks, no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # its own form
        super().increase_indent(flow, False)  # noqa: FBT003

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if not text.replace("\n", "").isprintable():
        # Escaped: YAML takes some of them for line breaks, and those for blanks.
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def as_yaml(header: Iterable[str], documents: Sequence[Node]) -> str:
    """The documents behind a comment.

    Args:
        header: its paragraphs; one that begins with blanks is kept as it is, the others are
            wrapped.
        documents: one or more.
    """
    comment = "".join(_commented(header))
    bodies = [
        yaml.dump(
            document.as_data(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
        )
        for document in documents
    ]
    return comment + "---\n".join(bodies)


def _commented(paragraphs: Iterable[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        # A line break or a control character would end the comment.
        safe = "".join(one if one.isprintable() else "?" for one in paragraph)
        # A command is copied from there: none of its words is parted.
        wrapped = textwrap.wrap(safe, _WIDTH, break_long_words=False, break_on_hyphens=False)
        lines = [safe] if safe.startswith(" ") else wrapped or [""]
        yield from (f"{_COMMENT}{line}".rstrip() + "\n" for line in lines)
