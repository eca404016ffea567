"""Server-sent events out of bytes that were cut anywhere. Pure: no I/O.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6. Lines end
in LF or CRLF; the lone CR that the standard also allows is sent by no server of ours.
"""

from __future__ import annotations

LARGEST_EVENT_BYTES = 8 * 1024**2
"""Of one line or event, where nobody says otherwise."""


class EventTooLargeError(ValueError):
    """A line or an event is longer than allowed.

    Attributes:
        measured: bytes of it that had come.
    """

    def __init__(self, measured: int, allowed: int) -> None:
        super().__init__(f"an event of {measured:,} bytes, and {allowed:,} are allowed")
        self.measured = measured


class EventDecoder:
    """Cuts a body into the payloads of its events, however the network had cut it.

    Args:
        largest_bytes: of one line or event.
    """

    __slots__ = ("_data", "_data_bytes", "_largest_bytes", "_tail", "_tail_bytes")

    def __init__(self, largest_bytes: int = LARGEST_EVENT_BYTES) -> None:
        self._largest_bytes = largest_bytes
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take in the next bytes.

        Args:
            data: as they came; may end anywhere, also inside a character.

        Returns:
            The payload of each event that is now whole, without `data:`.

        Raises:
            EventTooLargeError: a line or an event is too long, whole or not.
        """
        if b"\n" not in data:
            # Joined once, so that a long line in small pieces does not take quadratic time.
            self._tail.append(data)
            self._tail_bytes += len(data)
            self._check(self._tail_bytes)
            return []
        if self._tail:
            data = b"".join([*self._tail, data])
        lines = data.split(b"\n")
        last = lines.pop()
        self._tail = [last] if last else []
        self._tail_bytes = len(last)
        payloads: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
                # An empty line costs, too.
                self._data_bytes += len(line) + 1
                self._check(self._data_bytes)
            elif not line or line == b"\r":
                self._flush(payloads)
            # What is left are comments and the fields event, id and retry, which SGLang's
            # chat streams use only when asked by header.
        return payloads

    def end(self) -> list[bytes]:
        """Give what a body that ended without an empty line still held."""
        payloads = self.feed(b"\n") if self._tail else []
        self._flush(payloads)
        return payloads

    def _flush(self, payloads: list[bytes]) -> None:
        if self._data:
            payloads.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
            self._data = []
            self._data_bytes = 0

    def _check(self, held_bytes: int) -> None:
        if held_bytes > self._largest_bytes:
            raise EventTooLargeError(held_bytes, self._largest_bytes)
