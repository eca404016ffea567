"""What supervisors of machines that serve together tell each other: a line of JSON each."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from launcher.nodes.facts import NodeFacts

LARGEST_LINE_BYTES: Final = 64 * 1024
MOST_PROBLEMS: Final = 64
_Sentence: TypeAlias = Annotated[str, Field(max_length=2_000)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hello(_Message):
    """The first word of a follower on each connection."""

    kind: Literal["hello"] = "hello"
    facts: NodeFacts


class Waiting(_Message):
    """A follower has no server, and is ready to start one."""

    kind: Literal["waiting"] = "waiting"


class Missing(_Message):
    """Machine 0 says which machines are not ready yet."""

    kind: Literal["missing"] = "missing"
    ranks: Annotated[tuple[int, ...], Field(max_length=64)]


class Start(_Message):
    """Machine 0 says: all are here; start now."""

    kind: Literal["start"] = "start"


class Refused(_Message):
    """Machine 0 says why a follower cannot serve with it."""

    kind: Literal["refused"] = "refused"
    problems: Annotated[tuple[_Sentence, ...], Field(max_length=MOST_PROBLEMS)]


class Moving(_Message):
    """The start goes on here: who waits for it does not hang."""

    kind: Literal["moving"] = "moving"


class Ended(_Message):
    """The server of this machine has ended, and no process of it is left."""

    kind: Literal["ended"] = "ended"
    problem: _Sentence


class Stopping(_Message):
    """Somebody stops, or restarts, the server from this machine."""

    kind: Literal["stopping"] = "stopping"
    again: bool


class GaveUp(_Message):
    """Machine 0 starts no more."""

    kind: Literal["gave-up"] = "gave-up"
    problem: _Sentence


Message: TypeAlias = (
    Hello | Waiting | Missing | Start | Refused | Moving | Ended | Stopping | GaveUp
)
_READER: Final[TypeAdapter[Message]] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def encode(message: Message) -> bytes:
    """A line of JSON."""
    return message.model_dump_json().encode() + b"\n"


def decode(line: bytes) -> Message:
    """Read back what `encode` wrote.

    Raises:
        ValueError: it is no message; pydantic's `ValidationError` is one.
    """
    return _READER.validate_json(line)


def shortened(text: str) -> str:
    """A sentence that a message takes."""
    return text.encode("utf-8", "replace").decode()[:2_000]
