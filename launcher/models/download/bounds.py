"""What an answer of a hub may cost: bytes, time, redirects. No answer is without a bound.

The hub's own client makes the requests, so that the bounds are set where it lets us in: its
response hook sees each answer before the body is read, and puts a body in its place that counts.
Whatever else takes long, down to headers that drip, is left behind by the clock in `within`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

import httpx

from launcher.errors import HubAnswerError
from launcher.models.download.retries import TransientError, WrongSizeError
from launcher.text import human_bytes, human_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_REDIRECTS: Final = 5
# Of an answer with an error status: the hub's own have a line.
MOST_ERROR_BYTES: Final = 64 * 1024
# A slower one is no connection that a model can be had by: 1 GB would take a day.
LEAST_BYTES_PER_SECOND: Final = 10 * 1024
WINDOW_SECONDS: Final = 60.0
IDENTITY: Final[Mapping[str, str]] = {"Accept-Encoding": "identity"}
_LOOK_SECONDS: Final = 0.1
_LOOK_AT: Final = "Look at what answers in the hub's place: HF_ENDPOINT, HTTPS_PROXY, a mirror."

_T = TypeVar("_T")


@dataclass(slots=True)
class Answer:
    """One call to the hub while it lasts: what its answer may have, and what came.

    Args:
        what: it is, for messages: "the list of files", or a file's name.
        most_bytes: of its body.
        exact_bytes: of its body, where that is known: of a file.
        most_seconds: for all of it; None where `LEAST_BYTES_PER_SECOND` bounds it.
    """

    what: str
    most_bytes: int
    exact_bytes: int | None = None
    most_seconds: float | None = None
    came_bytes: int = 0
    left_behind: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def leave_behind(self) -> None:
        """Nothing of it is taken from now on."""
        with self.lock:
            self.left_behind = True

    def too_slow(self) -> TransientError:
        """What ends a thread that nobody waits for any more."""
        return TransientError(f"{self.what} came too slowly", slow=True)


_current: ContextVar[Answer | None] = ContextVar("answer", default=None)


def within(answer: Answer, call: Callable[[], _T]) -> _T:
    """Make a call to the hub, for as long as its answer may take.

    It is made in a thread of its own, since nothing else ends a read that always gets one more
    byte in time. One that takes too long is left behind, and ends at its next byte of a body.

    Raises:
        TransientError: a file comes too slowly.
        HubAnswerError: another answer took too long.
        BaseException: what the call raises.
    """
    ended = threading.Event()
    results: list[_T] = []
    failures: list[BaseException] = []

    def work() -> None:
        _current.set(answer)
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            failures.append(error)
        finally:
            ended.set()

    threading.Thread(target=work, daemon=True).start()
    try:
        _wait(answer, ended)
    except BaseException:
        answer.leave_behind()
        raise
    if failures:
        raise failures[0]
    return results[0]


def bound_answer(response: httpx.Response) -> None:
    """Hold an answer's head against its bounds, and let its body be counted; a response hook.

    Raises:
        HubAnswerError: it is compressed although that was not asked for, or says that it is too
            large.
        WrongSizeError: it says that it has another size than the file.
    """
    answer = _current.get()
    if answer is None:
        return  # a call that is not ours
    assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101  # as of any sync client
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    is_compressed = encoding not in {"", "identity"}
    if response.status_code >= 300:
        if is_compressed:
            del response.headers["Content-Encoding"]
        # The status says enough.
        response.stream = _Cut(response.stream, answer, 0 if is_compressed else MOST_ERROR_BYTES)
        return
    if is_compressed:
        # Inflated, a few bytes become any number.
        raise HubAnswerError(
            f"{response.url.host} compressed {answer.what} although it was asked not to.",
            action=_LOOK_AT,
        )
    exact = answer.exact_bytes
    if exact is not None and response.status_code == 200:
        exact = answer.most_bytes  # all of the file, although its end alone was asked for
    most = answer.most_bytes if exact is None else exact
    said = response.headers.get("Content-Length", "")
    if said.isdecimal() and len(said) < 20:
        check_size(answer, int(said), most, exact)
    response.stream = _Counted(response.stream, answer, most, exact)


class Guarded:
    """Takes the bytes of an answer, as huggingface_hub's `http_get` writes them.

    None once the answer is left behind, so that its thread cannot write beside the next attempt.
    """

    def __init__(self, into: BinaryIO, answer: Answer) -> None:
        self._into = into
        self._answer = answer

    def write(self, block: bytes) -> int:
        """Pass a block on."""
        with self._answer.lock:
            if self._answer.left_behind:
                raise self._answer.too_slow()
            return self._into.write(block)

    def tell(self) -> int:
        """Where it stands."""
        return self._into.tell()

    def seek(self, offset: int) -> int:
        """Go there; the client does so where a server answers with the whole file."""
        return self._into.seek(offset)

    def truncate(self) -> int:
        """Drop what follows."""
        with self._answer.lock:
            if self._answer.left_behind:
                raise self._answer.too_slow()
            return self._into.truncate()


class _Cut(httpx.SyncByteStream):
    """The beginning of a body that need not be whole."""

    def __init__(self, stream: httpx.SyncByteStream, answer: Answer, most_bytes: int) -> None:
        self._stream = stream
        self._answer = answer
        self._most_bytes = most_bytes

    def __iter__(self) -> Iterator[bytes]:
        left = self._most_bytes
        for block in self._stream if left else ():
            if self._answer.left_behind:
                raise self._answer.too_slow()
            yield block[:left]
            left -= len(block)
            if left <= 0:
                return

    def close(self) -> None:
        self._stream.close()


class _Counted(httpx.SyncByteStream):
    """A body that is counted as it comes, before anything makes more of it."""

    def __init__(
        self, stream: httpx.SyncByteStream, answer: Answer, most_bytes: int, exact: int | None
    ) -> None:
        self._stream = stream
        self._answer = answer
        self._most_bytes = most_bytes
        self._exact = exact

    def __iter__(self) -> Iterator[bytes]:
        answer, came = self._answer, 0
        try:
            for block in self._stream:
                if answer.left_behind:
                    raise answer.too_slow()
                came += len(block)
                if came > self._most_bytes:
                    check_size(answer, came, self._most_bytes, self._exact)
                answer.came_bytes += len(block)
                yield block
        except httpx.TransportError as error:
            # Else the hub's client would try again itself, as often as there are bytes.
            raise TransientError(
                f"the connection broke in {answer.what}: {str(error) or type(error).__name__}"
            ) from error

    def close(self) -> None:
        self._stream.close()


def check_size(answer: Answer, size: int, most: int, exact: int | None) -> None:
    """Hold the size of a body, or how much came, against what it may be, in bytes.

    Raises:
        WrongSizeError: a file has another one.
        HubAnswerError: it is too large.
    """
    if exact is not None and size != exact:
        raise WrongSizeError(
            f"{answer.what} comes with {size:,} bytes where the hub's list says {exact:,}"
        )
    if size > most:
        raise HubAnswerError(
            f"The hub's answer is too large: {answer.what} has {human_bytes(size)} or more, and "
            f"{human_bytes(most)} are taken at most.",
            action=_LOOK_AT,
        )


def _wait(answer: Answer, ended: threading.Event) -> None:
    """Until the call has ended, or the clock or the rate has left it behind."""
    began = looked = time.monotonic()
    came = 0
    while not ended.wait(_LOOK_SECONDS):
        now = time.monotonic()
        if answer.most_seconds is not None and now - began > answer.most_seconds:
            raise HubAnswerError(
                f"The hub's answer takes too long: {answer.what} has not come whole within "
                f"{human_seconds(answer.most_seconds)}; {human_bytes(answer.came_bytes)} came.",
                action="Try again later, or look at HF_ENDPOINT and the proxy.",
            )
        if answer.most_seconds is None and now - looked > WINDOW_SECONDS:
            if answer.came_bytes - came < LEAST_BYTES_PER_SECOND * WINDOW_SECONDS:
                raise TransientError(
                    f"{answer.what} came with less than {human_bytes(LEAST_BYTES_PER_SECOND)} a "
                    f"second for {human_seconds(WINDOW_SECONDS)}",
                    slow=True,
                )
            looked, came = now, answer.came_bytes


def bound_client(session: httpx.Client) -> None:
    """Put the hook and the bound on redirects in their place, once."""
    session.max_redirects = MOST_REDIRECTS
    hooks = session.event_hooks
    if bound_answer not in hooks["response"]:
        session.event_hooks = {**hooks, "response": [*hooks["response"], bound_answer]}
