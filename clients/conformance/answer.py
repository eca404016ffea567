"""An answer as it came, whole or streamed, added up and not repaired. Pure: no I/O.

Wrong types are kept as they are, or count as nothing: it is for the check that is about them to say
so, and for no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from clients.conformance.wire import strict_json

if TYPE_CHECKING:
    from clients.conformance.wire import Exchange

REASONING_FIELDS: Final = ("reasoning_content", "reasoning")
TOOL_MARKS: Final = (
    *("<tool_call", "</tool_call", "<arg_key>", "[TOOL_CALLS]", "<function=", "<|python_tag|>"),
    *("<|tool_call", "<\uff5ctool\u2581call", "<tools>"),
)
"""How models write calls: in an answer's text they are what a parser has missed."""


@dataclass(slots=True)
class Call:
    """A tool call; `arguments` is text, unless the server sent something else.

    `ids` and `names` are all that came for it, in a stream one each.
    """

    index: object
    id: object = None
    name: object = None
    arguments: Any = None
    ids: list[object] = field(default_factory=list)
    names: list[object] = field(default_factory=list)

    def parsed(self) -> Any:
        """Decode the arguments; `None` if they are not JSON."""
        if not isinstance(self.arguments, str):
            return self.arguments
        try:
            return strict_json(self.arguments)
        except ValueError:
            return None


@dataclass(slots=True)
class Choice:
    """One choice of an answer."""

    index: object = 0
    role: object = None
    content: str = ""
    reasoning: str = ""
    reasoning_field: str | None = None
    calls: list[Call] = field(default_factory=list)
    finish_reasons: list[object] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def finish(self) -> object:
        """The last finish reason, or `None`."""
        return self.finish_reasons[-1] if self.finish_reasons else None

    @property
    def raw(self) -> str:
        """What the model wrote before any parser saw it, from the tokens' bytes; or nothing."""
        joined = bytearray()
        for token in self.logprobs:
            part = token.get("bytes")
            if isinstance(part, list) and all(isinstance(b, int) and 0 <= b < 256 for b in part):
                joined += bytes(part)
            elif isinstance(token.get("token"), str):
                joined += token["token"].encode(errors="replace")
        return joined.decode(errors="replace")

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it can be seen: no text, no thought, no call."""
        return not (self.content.strip() or self.reasoning.strip() or self.calls)

    def summary(self) -> tuple[object, ...]:
        """What must be the same streamed and whole; white space at the ends is not compared."""
        calls = [(call.name, call.parsed()) for call in self.calls]
        return (self.content.strip(), calls, self.finish)


@dataclass(slots=True)
class Answer:
    """All of one answer.

    Attributes:
        exchange: whence it comes.
        choices: by the server's index, in the order in which they came.
        usage: the last one that was sent.
        ids: of all chunks; one of a whole answer.
        chunks: of a stream, decoded, in order.
        problems: what in a stream is not an event of one, in words.
        done: how many `[DONE]` came.
        after_done: how many events came behind it.
    """

    exchange: Exchange
    choices: list[Choice] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    ids: set[object] = field(default_factory=set)
    chunks: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    done: int = 0
    after_done: int = 0
    error: str | None = None

    def tokens(self, name: str) -> int | None:
        """A count of the usage; `None` if it is not there or not a number."""
        count = (self.usage or {}).get(name)
        return count if isinstance(count, int) and not isinstance(count, bool) else None

    def choice(self, index: object) -> Choice:
        """The choice of that index, made if it is new."""
        for choice in self.choices:
            if choice.index == index:
                return choice
        self.choices.append(Choice(index))
        return self.choices[-1]


def read_whole(exchange: Exchange) -> Answer:
    """Read an answer that came in one piece.

    Raises:
        ValueError: it is not JSON, or has no list of choices.
    """
    body = exchange.json()
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        raise ValueError("no `choices` in it")  # noqa: TRY004 - one kind for the caller
    answer = Answer(exchange, ids={_hashable(body.get("id"))}, usage=_dict(body.get("usage")))
    for entry in _dicts(body["choices"]):
        choice = Choice(entry.get("index"))
        _add(choice, _dict(entry.get("message")) or {}, entry)
        answer.choices.append(choice)
    return answer


def read_stream(exchange: Exchange) -> Answer:
    """Read a stream of server-sent events; what is wrong with it is kept in `problems`."""
    answer = Answer(exchange)
    try:
        text = exchange.received.decode()
    except UnicodeDecodeError as error:
        answer.problems.append(f"not UTF-8 at byte {error.start}")
        text = exchange.received.decode(errors="replace")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    data: list[str] = []
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        if not line:
            _event(answer, data)
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif name not in {"", "event", "id", "retry"}:
            answer.problems.append(f"a line that no event has: {line[:60]!r}")
    if data:
        answer.problems.append("the last event does not end with an empty line")
        _event(answer, data)
    return answer


def _event(answer: Answer, data: list[str]) -> None:
    if not data:
        return
    payload = "\n".join(data)
    if payload.strip() == "[DONE]":
        answer.done += 1
        return
    if answer.done:
        # No client reads further.
        answer.after_done += 1
        return
    try:
        chunk = strict_json(payload)
    except ValueError as error:
        answer.problems.append(f"data that is not JSON ({error}): {payload[:60]!r}")
        return
    if not isinstance(chunk, dict):
        answer.problems.append(f"data that is no object: {payload[:60]!r}")
        return
    if chunk.get("error") or chunk.get("object") == "error":
        inner = chunk.get("error", chunk)
        answer.error = str(inner.get("message") if isinstance(inner, dict) else inner)[:500]
        return
    answer.chunks.append(chunk)
    answer.ids.add(_hashable(chunk.get("id")))
    answer.usage = _dict(chunk.get("usage")) or answer.usage
    for entry in _dicts(chunk.get("choices")):
        _add(answer.choice(entry.get("index")), _dict(entry.get("delta")) or {}, entry)


def _add(choice: Choice, part: dict[str, Any], entry: dict[str, Any]) -> None:
    choice.role = part.get("role") or choice.role
    choice.content += text_of(part.get("content"))
    for name in REASONING_FIELDS:
        if said := text_of(part.get(name)):
            choice.reasoning += said
            choice.reasoning_field = name
            break
    for place, given in enumerate(_dicts(part.get("tool_calls"))):
        _add_call(choice, given, place)
    if entry.get("finish_reason") is not None:
        choice.finish_reasons.append(entry["finish_reason"])
    logprobs = _dict(entry.get("logprobs")) or {}
    choice.logprobs.extend(_dicts(logprobs.get("content")))


def _add_call(choice: Choice, given: dict[str, Any], place: int) -> None:
    """Add a call, or the next part of one: parts belong together by their index."""
    function = _dict(given.get("function")) or {}
    index = given.get("index", place)
    call = next((known for known in choice.calls if known.index == index), None)
    if call is None:
        call = Call(index)
        choice.calls.append(call)
    if given.get("id") is not None:
        call.id = given["id"] if call.id is None else call.id
        call.ids.append(given["id"])
    if name := function.get("name"):
        call.name = call.name or name
        call.names.append(name)
    arguments = function.get("arguments")
    if isinstance(call.arguments, str) and isinstance(arguments, str):
        call.arguments += arguments
    elif arguments is not None:
        call.arguments = arguments


def text_of(value: object) -> str:
    """The value if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def _dict(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _hashable(value: object) -> object:
    return value if isinstance(value, str | int | None) else repr(type(value))
