"""What people see: phases as they happen, the endpoint, errors. Pure of decisions.

Progress goes to standard error and results to standard output. Where standard output is not a
terminal only the result is printed, one line; where standard error is not, no progress.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from launcher.cli.display.download import download_note, pace
from launcher.config.server_config import ServerConfig
from launcher.errors import SpecserveError
from launcher.models.download.events import PullEvent, PullProgress
from launcher.state.events import (
    Event,
    LogLost,
    PhaseProgress,
    ProbeFailed,
    ProcessLost,
    ServerCrashed,
    ServerReady,
    ServerStopped,
    SpeculationJudged,
    StartPostponed,
    StartSlow,
    StateChanged,
)
from launcher.state.states import ServerState
from launcher.text import human_bytes, human_seconds, short_path

if TYPE_CHECKING:
    from launcher.supervision.stop import StopReport

BAR_WIDTH: Final = 24
DOWNLOADING: Final = "downloading"


class _Mark(SpinnerColumn):
    """Turns while a phase lasts; then a tick, or a cross where the start failed in it."""

    def render(self, task: Task) -> RenderableType:
        if task.fields["failed"]:
            return Text("✗", style="red")
        return super().render(task)


class _Elapsed(ProgressColumn):
    """Time in the phase, which stands still when the phase is over."""

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time if task.finished else task.elapsed
        return Text(human_seconds(elapsed or 0.0), style="cyan")


# The count is kept in fields of its own: for rich a task whose count is complete is finished, its
# clock stands still, and the phase may go on for a minute after that.
class _Count(ProgressColumn):
    """n of m, where there is a count."""

    def render(self, task: Task) -> Text:
        done, total = task.fields["count"]
        if total is None:
            return Text()
        if task.fields["in_bytes"]:
            return Text(f"{human_bytes(done or 0)} of {human_bytes(total)}")
        return Text(f"{done or 0} of {total}")


class _Bar(ProgressColumn):
    """A bar, where there is a count."""

    def render(self, task: Task) -> RenderableType:
        done, total = task.fields["count"]
        if total is None:
            return Text()
        return ProgressBar(total=total, completed=done or 0, width=BAR_WIDTH)


class StartDisplay:
    """Shows a start to a person. Use `show`, or `start`, `fail` and `stop`, and feed it events."""

    def __init__(self, err: Console, *, quiet: bool = False) -> None:
        self._err = err
        self._disabled = quiet or not err.is_terminal
        self._begin()

    def _begin(self) -> None:
        self._progress = Progress(
            _Mark(finished_text="[green]✓[/]"),
            # Descriptions and notes may be a stranger's, so they are no markup.
            TextColumn("{task.description}", markup=False),
            _Elapsed(),
            _Count(),
            _Bar(),
            TextColumn("{task.fields[note]}", style="yellow", markup=False),
            console=self._err,
            disable=self._disabled,
        )
        self._task: TaskID | None = None
        self._phase: str | None = None

    @contextlib.contextmanager
    def show(self) -> Iterator[None]:
        """Draw until the block is left; an error leaves its mark on the phase."""
        self.start()
        try:
            yield
        except BaseException:
            self.fail()
            raise
        finally:
            self.stop()

    def start(self) -> None:
        """Begin to draw."""
        self._progress.start()

    def fail(self) -> None:
        """Leave a mark on the phase: the start failed in it."""
        self._fail_phase()

    def stop(self) -> None:
        """Draw no more."""
        self._progress.stop()

    def feed(self, event: Event) -> None:
        """Show one event; those without a picture are passed over."""
        if isinstance(event, PhaseProgress):
            self.enter(event.phase, event.done, event.total)
        elif isinstance(event, ServerReady):
            self._finish_phase()
            self._progress.stop()
        elif isinstance(event, StateChanged) and event.state is ServerState.STOPPING:
            self._progress.stop()
            self._say("\nStopping: requests in flight may end first; Ctrl-C again ends them now.")
        elif isinstance(event, StartSlow):
            self._mark_slow(event)
        elif isinstance(event, ProbeFailed):
            self._say(f"Health probe {event.failures} of {event.allowed} failed: {event.reason}")
        elif isinstance(event, SpeculationJudged):
            self._say(event.sentence)
        elif isinstance(event, ProcessLost):
            self._say(f"{event.title} (process {event.pid}) ended.")
        elif isinstance(event, LogLost):
            self._say("Nobody reads what the server prints any more; `restart` mends that.")
        elif isinstance(event, ServerCrashed):
            self._fail_phase()
            self._say(f"\n{event.problem}")
            self._say(
                f"Starting again in {human_seconds(event.restart_in_seconds)} "
                f"(failure {event.failures}; at {event.allowed} it is given up)."
            )
            self._begin()
            self._progress.start()
        elif isinstance(event, StartPostponed):
            self._fail_phase()
            self._say(f"\n{event.problem}")
            self._say(
                f"Trying again in {human_seconds(event.restart_in_seconds)}; given up after "
                f"{human_seconds(event.gives_up_in_seconds)} more."
            )
            self._begin()
            self._progress.start()
        elif isinstance(event, ServerStopped):
            how = " by force" if event.killed else ""
            self._say(f"Stopped{how}: no process of it is left, and its port is closed.")
            if event.restarting:
                self._begin()
                self._progress.start()

    def enter(self, phase: str, done: int | None = None, total: int | None = None) -> None:
        """Show a phase, or its count."""
        if phase != self._phase:
            self._finish_phase()
            self._phase = phase
            self._task = self._progress.add_task(
                f"{phase:<22}",
                total=None,
                count=(None, None),
                in_bytes=False,
                failed=False,
                note="",
            )
        if self._task is not None and total is not None:
            self._progress.update(self._task, count=(done, total))

    def feed_download(self, event: PullEvent) -> None:
        """Show how a download goes on that the start waits for."""
        if isinstance(event, PullProgress):
            self.enter(DOWNLOADING, event.done_bytes, event.total_bytes)
            if self._task is not None:
                self._progress.update(self._task, in_bytes=True, note=pace(event))
        elif (sentence := download_note(event)) is not None:
            self._say(sentence)

    def _mark_slow(self, event: StartSlow) -> None:
        if self._task is not None:
            self._progress.update(self._task, note=f"{event.summary}; {event.work}")

    def _fail_phase(self) -> None:
        if self._task is not None and not self._progress.finished:
            self._progress.update(self._task, failed=True)
        self._progress.stop()

    def _say(self, sentence: str) -> None:
        if not self._progress.disable:
            self._progress.console.print(sentence, highlight=False, markup=False)

    def _finish_phase(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1)


def show_ready(
    out: Console, event: ServerReady, *, config: ServerConfig, log_file: Path, hint: str
) -> None:
    """The endpoint and how to call it; for a program that reads the output, the URL alone."""
    if config.is_follower:
        _show_joined(out, event, config=config, log_file=log_file, hint=hint)
        return
    url = f"{event.base_url}/v1"
    if not out.is_terminal:
        # An IPv6 address in its brackets would pass for markup.
        out.print(url, soft_wrap=True, highlight=False, markup=False)
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for label, value in (
        ("endpoint", url),
        ("model", event.served_model_name),
        ("context length", _tokens(event.context_length_tokens)),
        ("KV cache", _kv_cache(event)),
        ("speculation", event.speculation),
        ("log", short_path(log_file)),
    ):
        table.add_row(label, Text(value, style="bold" if label == "endpoint" else ""))
    out.print(f"\n[bold green]Ready[/] in {human_seconds(event.elapsed_seconds)}.\n")
    out.print(table)
    out.print("\nTry it:\n")
    out.print(
        _curl(url, event.served_model_name, config),
        style="bold",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    out.print(f"\n{hint}", highlight=False, markup=False)


def _show_joined(
    out: Console, event: ServerReady, *, config: ServerConfig, log_file: Path, hint: str
) -> None:
    """Of a machine that clients do not ask: with whom it computes."""
    if not out.is_terminal:
        out.print(f"machine {config.node_rank} of {config.nnodes} has joined", soft_wrap=True)
        return
    out.print(
        f"\n[bold green]Joined[/] in {human_seconds(event.elapsed_seconds)}: machine "
        f"{config.node_rank} of {config.nnodes} computes.\n"
    )
    out.print(
        f"Clients ask machine 0; the machines meet at {config.dist_init_addr}.\n"
        f"log: {short_path(log_file)}\n\n{hint}",
        highlight=False,
        markup=False,
    )


def show_error(err: Console, error: SpecserveError) -> None:
    """One sentence on what is wrong, the evidence, one on what to do."""
    err.print(Text.assemble(("error: ", "bold red"), error.problem), soft_wrap=True)
    for line in error.evidence:
        err.print(Text(f"  | {line}", style="dim"), soft_wrap=True)
    err.print(Text(f"  -> {error.action}"), soft_wrap=True)


def show_config(out: Console, config: ServerConfig, sources: Mapping[str, str], why: str) -> None:
    """Each field with its value and where that came from."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("FIELD", "VALUE", "FROM", "MEANING"):
        # A field's name stays whole, so that `grep` finds it.
        table.add_column(title, overflow="fold", no_wrap=title == "FIELD")
    for field, description in ServerConfig.model_fields.items():
        value: Any = getattr(config, field)
        table.add_row(
            field,
            Text("-" if value in (None, ()) else str(value)),
            Text(sources[field], style="dim" if sources[field] == "default" else ""),
            Text(description.description or "", style="dim"),
        )
    out.print(table)
    out.print(f"\nPreset {config.preset}: {why}.", highlight=False, markup=False)


def show_stop(out: Console, report: StopReport) -> None:
    """What `down` found and did."""
    if report.was is None and not report.stopped:
        out.print(
            f"No server named {report.name!r} was ever started; nothing to stop.", markup=False
        )
    elif not report.stopped:
        out.print(
            f"The server {report.name!r} was not running ({report.was}); nothing to stop.",
            markup=False,
        )
    else:
        if report.supervisor_killed:
            out.print("Its supervisor did not react, and was killed.", highlight=False)
        out.print(
            f"Stopped {report.name!r}{'' if report.was else ', which had no record,'} in "
            f"{human_seconds(report.seconds)}: no process of it is left, and its port is closed.",
            highlight=False,
        )


def _tokens(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,} tokens"


def _kv_cache(event: ServerReady) -> str:
    """The size, and the plan's where that was another one."""
    text, planned = _tokens(event.kv_cache_tokens), event.planned_kv_cache_tokens
    if planned is None or planned == event.kv_cache_tokens:
        return text
    return f"{text}; planned were {planned:,} (`plan --explain`)"


def _curl(url: str, model: str, config: ServerConfig) -> str:
    """A request that a person can paste, with a short answer: thinking is switched off."""
    key_file = config.api_key_file
    # printf is the shell's own, and curl reads the header: the key is in no process list.
    key = ""
    send_key = ""
    if key_file is not None:
        key = f"""printf 'Authorization: Bearer %s' "$(cat {shlex.quote(str(key_file))})" | """
        send_key = "-H @- "
    request: dict[str, Any] = {
        "model": model,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    if config.reasoning_parser:
        request["chat_template_kwargs"] = {"enable_thinking": False}
    return (
        f"  {key}curl {url}/chat/completions {send_key}-H 'Content-Type: application/json' \\\n"
        f"    -d {shlex.quote(json.dumps(request))}"
    )
