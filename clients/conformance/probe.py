"""What a check asks the server with: greedy requests, of which equal ones are sent once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from clients.conformance.answer import Answer, Choice, read_stream, read_whole
from clients.conformance.text import quote
from clients.conformance.verdicts import (
    CannotCheckError,
    VerdictError,
    not_judged,
    not_offered,
    server_fault,
)

if TYPE_CHECKING:
    from clients.conformance.wire import Exchange, Wire

Json = dict[str, Any]
CHAT: Final = "/v1/chat/completions"
HELLO: Final = "Hello"
_REFUSALS: Final = frozenset({400, 404, 405, 415, 422, 501})


class Probe:
    """One server and one model under examination.

    Args:
        wire: to send with.
        model: its name; `None` for the first that the server lists.

    Attributes:
        used: what was sent and received since a check began; the runner empties it.
    """

    def __init__(self, wire: Wire, model: str | None) -> None:
        self.wire = wire
        self.model = model or ""
        self.context_tokens: int | None = None
        self.used: list[Exchange] = []
        self._quiet: Json = {"chat_template_kwargs": {"enable_thinking": False}}
        self._thinking: Json = {"chat_template_kwargs": {"enable_thinking": True}}
        self._answers: dict[tuple[bool, bytes], Answer] = {}

    async def prepare(self) -> None:
        """Find the model, and whether thinking can be turned off.

        Raises:
            CannotCheckError: no server, a key that is refused, or no model.
        """
        listed = await self.send("GET", "/v1/models")
        self._must_be_reachable(listed)
        served = _models_in(listed)
        if not self.model and not served:
            raise CannotCheckError(
                f"The server lists no model (status {listed.status}).", action="Name one: --model."
            )
        self.model = self.model or str(served[0].get("id"))
        mine = next((entry for entry in served if entry.get("id") == self.model), {})
        length = mine.get("max_model_len")
        self.context_tokens = length if isinstance(length, int) and length > 0 else None
        first = await self.post(self.body(HELLO))
        self._must_be_reachable(first)
        if first.status in _REFUSALS:
            self._quiet, self._thinking = {}, {}
            plain = await self.post(self.body(HELLO))
            if plain.status in _REFUSALS:
                raise CannotCheckError(
                    f"Status {plain.status} for a plain chat with model {quote(self.model)}: "
                    f"{quote(plain.message)}.",
                    action="Give the name of a chat model that is served: --model.",
                )

    @property
    def can_switch_thinking(self) -> bool:
        """Whether the server takes `chat_template_kwargs`."""
        return bool(self._quiet)

    def body(self, said: str | list[Json], *, think: bool = False, **options: Any) -> Json:
        """Give a greedy request.

        Args:
            said: the user's message, or all messages.
            think: whether the model may reason first.
            options: further fields.
        """
        messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
        common = {"model": self.model, "messages": messages, "temperature": 0, "seed": 1}
        switch = self._thinking if think else self._quiet
        return {**common, "max_tokens": 512 if think else 160, **switch, **options}

    async def send(self, method: str, path: str, content: bytes = b"") -> Exchange:
        """Send anything, and keep what came back."""
        exchange = await self.wire.send(method, path, content)
        self.used.append(exchange)
        return exchange

    async def post(self, body: Json, path: str = CHAT) -> Exchange:
        """Send a body as JSON."""
        return await self.send("POST", path, encode(body))

    async def whole(self, body: Json, *, again: bool = False) -> Answer:
        """Ask for an answer in one piece; the same request is sent once, unless `again`.

        Raises:
            VerdictError: a refusal, a failure, or no chat completion.
        """
        return await self._ask(body, streamed=False, again=again)

    async def stream(self, body: Json, *, again: bool = False) -> Answer:
        """Ask for a stream with usage, as `whole` does."""
        asked = {**body, "stream": True}
        asked.setdefault("stream_options", {"include_usage": True})
        return await self._ask(asked, streamed=True, again=again)

    async def _ask(self, body: Json, *, streamed: bool, again: bool) -> Answer:
        content = encode(body)
        known = self._answers.get((streamed, content))
        if known is not None and not again:
            self.used.append(known.exchange)
            return known
        answer = answer_in(await self.send("POST", CHAT, content), streamed=streamed)
        if not again:
            self._answers[streamed, content] = answer
        return answer

    async def both(self, body: Json) -> tuple[tuple[str, Choice], tuple[str, Choice]]:
        """Ask whole and streamed; give the first choice of each with its name."""
        return (
            ("whole", first_choice(await self.whole(body))),
            ("streamed", first_choice(await self.stream(body))),
        )

    async def must_be_steady(self, body: Json, *, times: int = 2) -> None:
        """Ask for the whole answer again, before a difference from it is blamed on the server.

        Raises:
            VerdictError: whole answers to the same greedy request differ among themselves.
        """
        first = first_choice(await self.whole(body))
        for _ in range(times):
            again = first_choice(await self.whole(body, again=True))
            if (again.summary(), again.reasoning) != (first.summary(), first.reasoning):
                raise not_judged("whole answers differ among themselves: see greedy.repeated")

    def _must_be_reachable(self, exchange: Exchange) -> None:
        if exchange.failure and exchange.status is None:
            raise CannotCheckError(
                f"{exchange.method} {exchange.path}: {exchange.failure}.",
                action="Check the URL, and whether the server runs: python -m launcher status.",
            )
        if exchange.status in {401, 403}:
            raise CannotCheckError(
                f"The server refuses the key: status {exchange.status}.",
                action="Set SPECSERVE_API_KEY.",
            )


def encode(body: Json) -> bytes:
    """The bytes of a request."""
    return json.dumps(body, ensure_ascii=False).encode()


def answer_in(exchange: Exchange, *, streamed: bool) -> Answer:
    """Read the answer in what came back.

    Raises:
        VerdictError: a refusal, a failure, or no chat completion.
    """
    if exchange.failure:
        raise server_fault(exchange.failure)
    if exchange.status != 200:
        raise refusal(exchange)
    if streamed:
        answer = read_stream(exchange)
        if answer.error is not None:
            raise server_fault(f"an error in the stream: {quote(answer.error)}")
        if not answer.choices:
            raise server_fault(f"a stream without an answer: {quote(_text(exchange))}")
        return answer
    try:
        answer = read_whole(exchange)
    except ValueError as error:
        raise server_fault(
            f"status 200, and no chat completion ({error}): {quote(_text(exchange))}"
        ) from None
    first_choice(answer)
    return answer


def refusal(exchange: Exchange) -> VerdictError:
    """What a status other than 200 means for a request that is in order."""
    said = f"status {exchange.status}: {quote(exchange.message or _text(exchange))}"
    status = exchange.status or 0
    if status in {401, 403}:
        return VerdictError("client", f"{said}; the key is not good for this")
    if status == 429:
        return not_judged(f"{said}; the server takes no more requests now")
    if 300 <= status < 400:
        return server_fault(f"{said}; a redirect to {quote(exchange.location)}, not followed")
    if status in _REFUSALS and exchange.message:
        return not_offered(said)
    return server_fault(said)


def first_choice(answer: Answer) -> Choice:
    """The choice of index 0, or the only one.

    Raises:
        VerdictError: there is none.
    """
    if not answer.choices:
        raise server_fault("an answer without choices")
    return next((choice for choice in answer.choices if choice.index == 0), answer.choices[0])


def _text(exchange: Exchange) -> str:
    return exchange.received[:600].decode(errors="replace")


def _models_in(exchange: Exchange) -> list[Json]:
    try:
        body = exchange.json()
    except ValueError:
        return []
    data = body.get("data") if isinstance(body, dict) else None
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
