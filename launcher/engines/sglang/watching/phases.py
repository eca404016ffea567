"""The phases of a start, read from the server's output. Pure: lines in, facts out.

Source: the log lines of sglang, each named beside its pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from launcher.engines.phases import Phase, Progress, advanced
from launcher.text import whole_number

# A bar of tqdm: "Multi-thread loading shards:  50% Completed | 1/2 [", "Loading safetensors
# checkpoint shards:  50% Completed | 23/46 [", "Capturing batches (bs=8 ...):  40%|####  | 2/5 [".
_BAR: Final = re.compile(r"^(?P<title>[^:]*):.*?(?P<done>\d+)/(?P<total>\d+) \[")
# Each of several ranks puts its number behind the time, as in [2026-11-23 15:47:00 TP1].
_RANK: Final = re.compile(r"^\[[^\]]* TP(?P<rank>\d+)")
_FACT: Final = re.compile(r"\b(?P<name>[a-z_]+)=(?P<value>\d+)")

# First match wins. model_executor/model_runner.py, mem_cache/memory_pool.py,
# model_executor/*graph_runner.py, entrypoints/http_server.py, uvicorn.
_MARKERS: Final[tuple[tuple[str, Phase], ...]] = (
    ("Load weight begin", Phase.WEIGHTS),
    ("#tokens: ", Phase.KV_CACHE),
    ("Capture ", Phase.GRAPHS),
    ("Capturing batches", Phase.GRAPHS),
    ("Application startup complete", Phase.WARM_UP),
)
FIRED_UP: Final = "The server is fired up and ready to roll!"
# observability/scheduler_metrics_mixin.py prints it every so many steps. The first token of an
# answer comes of a prefill, so that a request for one token never leads to such a line.
_DECODED: Final = re.compile(r"\bDecode batch\b")


def shows_progress(line: str) -> bool:
    """Whether a line shows that answers get longer, and cannot come of a health probe."""
    return _DECODED.search(line) is not None


@dataclass(slots=True)
class SGLangStartLog:
    """Follows one start. Feed it lines; read what is known.

    With several ranks, one speaks for all: the first on this machine. A phase never goes back.
    """

    first_rank: int = 0
    progress: Progress = field(default_factory=lambda: Progress(Phase.IMPORTING))
    context_length_tokens: int | None = None
    kv_cache_tokens: int | None = None
    max_running_requests: int | None = None
    fired_up: bool = False
    _target_loaded: bool = False

    def feed(self, line: str) -> Progress | None:
        """Take one line; returns the progress where it changed."""
        rank = _RANK.match(line)
        if rank is not None and whole_number(rank["rank"]) != self.first_rank:
            return None
        if FIRED_UP in line:
            self.fired_up = True
        # managers/scheduler.py: "max_total_num_tokens=N, ..., context_len=N, ..."
        if "max_total_num_tokens=" in line and "server_args=" not in line:
            self._read_facts(line)
        if "Load weight end" in line:
            self._target_loaded = True
        following = advanced(self.progress, self._progress_of(line))
        self.progress = following or self.progress
        return following

    def _progress_of(self, line: str) -> Progress | None:
        bar = _BAR.match(line)
        if bar is not None:
            phase = self._phase_of_bar(bar["title"])
            if phase is not None:
                return Progress(phase, whole_number(bar["done"]), whole_number(bar["total"]))
        for marker, phase in _MARKERS:
            if marker in line:
                # A bar's count stays while lines of the same phase pass by.
                meant = self._draft(phase)
                return self.progress if meant is self.progress.phase else Progress(meant)
        return None

    def _phase_of_bar(self, title: str) -> Phase | None:
        if "shards" in title:
            return self._draft(Phase.WEIGHTS)
        return Phase.GRAPHS if title.startswith("Capturing") else None

    def _draft(self, phase: Phase) -> Phase:
        """Weights that load after the target's are the draft model's."""
        return Phase.DRAFT_WEIGHTS if phase is Phase.WEIGHTS and self._target_loaded else phase

    def _read_facts(self, line: str) -> None:
        facts = {match["name"]: whole_number(match["value"]) for match in _FACT.finditer(line)}
        # The draft worker prints no such line, so the first is the target's.
        self.kv_cache_tokens = self.kv_cache_tokens or facts.get("max_total_num_tokens")
        self.context_length_tokens = self.context_length_tokens or facts.get("context_len")
        self.max_running_requests = self.max_running_requests or facts.get("max_running_requests")
