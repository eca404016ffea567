"""The terminal chat: history, streamed answers, and what they cost."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from clients.cli.safe import terminal_safe
from clients.errors import ClientError
from clients.events import ContentDelta, ReasoningDelta
from clients.reply import why_empty

if TYPE_CHECKING:
    from clients.chat import ChatClient
    from clients.reply import ChatReply

HELP = (
    "/think on|off  /system TEXT  /save FILE  /clear  /help\n"
    "Ctrl-C stops an answer; Ctrl-D, or Ctrl-C here, leaves."
)


class Conversation:
    """One chat in one terminal.

    Args:
        client: to ask.
        options: as `chat()` takes them.
        system: a system message.
        console: where to print.
    """

    def __init__(
        self,
        client: ChatClient,
        options: dict[str, Any],
        *,
        system: str | None = None,
        console: Console | None = None,
    ) -> None:
        self.client = client
        self.options = options
        self.system = system
        self.console = console or Console()
        self.messages: list[dict[str, object]] = []

    def run(self) -> None:
        """Read lines and answer them until the end of input."""
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401, PLC0415 - on import, gives `input` its line editing
        self._say(f"{self.client.base_url}  /help for the commands", "dim")
        while True:
            try:
                line = input("> ").strip()
            except (EOFError, KeyboardInterrupt):
                self.console.print()
                return
            if line.startswith("/"):
                self.command(line)
            elif line:
                self.answer(line)

    def command(self, line: str) -> None:
        """Do what a line that begins with a slash says."""
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word == "/think" and rest in {"on", "off"}:
            self.options["thinking"] = rest == "on"
        elif word == "/system":
            self.system = rest or None
        elif word == "/clear":
            self.messages.clear()
        elif word == "/save" and rest:
            try:
                text = json.dumps(self.conversation(), ensure_ascii=False, indent=2)
                Path(rest).expanduser().write_text(text + "\n", encoding="utf-8")
            except OSError as error:
                self._say(f"Not saved: {error}.", "red")
        else:
            self._say(HELP, "dim")

    def conversation(self) -> list[dict[str, object]]:
        """Give the messages so far, the system message first."""
        if not self.system:
            return list(self.messages)
        return [{"role": "system", "content": self.system}, *self.messages]

    def answer(self, line: str) -> None:
        """Ask, and print the answer as it comes; one that fails is no part of the history."""
        self.messages.append({"role": "user", "content": line})
        try:
            reply = self._stream()
        except ClientError as error:
            self.messages.pop()
            self.console.print()
            self._say(f"{error.problem}\n{error.action}", "red")
            return
        except KeyboardInterrupt:
            # Before the first token there is nothing to keep.
            self.messages.pop()
            self._say("Stopped.", "dim")
            return
        self.messages.append(reply.as_message())
        self._say(footer(reply), "dim")

    def _stream(self) -> ChatReply:
        thinking = False
        with self.client.stream(self.conversation(), **self.options) as stream:
            try:
                for event in stream:
                    if isinstance(event, ReasoningDelta):
                        thinking = True
                        self._say(event.text, "dim italic", end="")
                    elif isinstance(event, ContentDelta):
                        if thinking:
                            self.console.print("\n")
                            thinking = False
                        self._say(event.text, end="")
            except KeyboardInterrupt:
                # Leaving the block closes the connection, and the server stops.
                pass
        self.console.print()
        return stream.partial()

    def _say(self, text: str, style: str = "", *, end: str = "\n") -> None:
        # What a model says is no markup, and may be cut anywhere.
        self.console.print(Text(terminal_safe(text), style=style), end=end, soft_wrap=True)


def footer(reply: ChatReply) -> str:
    """Say what an answer cost: tokens by the server's count, never by chunks."""
    if reply.finish_reason is None:
        return "[stopped]"
    parts = []
    if reply.usage is not None:
        parts.append(f"{reply.usage.completion_tokens} tokens")
    if per_token := reply.timings.time_per_output_token_seconds:
        parts.append(f"{1 / per_token:.1f} tokens/s")
    if reply.acceptance is not None:
        parts.append(f"acceptance length {reply.acceptance.length:.2f}")
    if reply.is_empty:
        parts.append(f"empty: {why_empty(reply)[0]}")
    return "[" + " · ".join([*parts, reply.finish_reason]) + "]"
