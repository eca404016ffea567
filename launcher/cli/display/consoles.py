"""The two streams that people read. rich honours NO_COLOR, TERM and redirection by itself.

What is printed here may be a stranger's: of a record, of a server's output, of an argument. So
nothing that a terminal would act on gets through, save what rich itself says to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from launcher.text import terminal_safe


class SafeConsole(Console):
    """A console whose texts are only read, and never obeyed."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of what is printed; a table's cells come by here, too."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(terminal_safe(segment.text), segment.style)

    def on_broken_pipe(self) -> NoReturn:
        """End as programs do whose reader, such as `head`, has had enough."""
        self.quiet = True
        raise BrokenPipeError


def out() -> Console:
    """Results."""
    return SafeConsole()


def err() -> Console:
    """Progress and errors."""
    return SafeConsole(stderr=True)
