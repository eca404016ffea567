"""The phases of a start, read from the server's output. Pure: lines in, facts out.

Source: the log lines of vllm 0.32.0, each named beside its pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from launcher.engines.phases import Phase, Progress, advanced
from launcher.text import whole_number

# A bar of tqdm: "Loading safetensors checkpoint shards:  50% Completed | 23/46 [", "Capturing CUDA
# graphs (mixed prefill-decode, PIECEWISE):  40%|####  | 2/5 [".
_BAR: Final = re.compile(r"(?P<title>Loading|Capturing)[^:]*:.*?(?P<done>\d+)/(?P<total>\d+) \[")
# "(Worker_TP1 pid=123) ..": the first rank speaks for all. utils/system_utils.py, `decorate_logs`.
_OTHER_RANK: Final = re.compile(r"^\((?:Worker|EngineCore)\w*_(?:TP|PP|DP|EP)0*[1-9]")
# First match wins. model_executor/model_loader, v1/worker/gpu_model_runner.py,
# v1/core/kv_cache_utils.py, v1/engine/core.py, entrypoints/launchers, uvicorn.
_MARKERS: Final[tuple[tuple[str, Phase], ...]] = (
    ("Loading drafter model", Phase.DRAFT_WEIGHTS),
    ("Starting to load model", Phase.WEIGHTS),
    ("KV cache size: ", Phase.KV_CACHE),
    ("Available KV cache memory", Phase.KV_CACHE),
    ("Capturing CUDA graph", Phase.GRAPHS),
    ("Graph capturing", Phase.GRAPHS),
    ("init engine (profile, create kv cache, warmup model) took", Phase.WARM_UP),
    ("Application startup complete", Phase.WARM_UP),
)
FIRED_UP: Final = "Application startup complete"
# "GPU KV cache size: 123,456 tokens", of a CPU "CPU KV cache size: ...".
_KV_TOKENS: Final = re.compile(r"KV cache size: (?P<tokens>[\d,]+) tokens")
# config/model.py; of the draft model a second time.
_CONTEXT: Final = re.compile(r"Using max model len (?P<tokens>\d+)")
_NUMBER: Final = re.compile(r"'?max_num_seqs'?[=:] ?(?P<number>\d+)")
# v1/metrics/loggers.py, every ten seconds while there is anything to tell. A probe's single token
# is 0.1 a second.
_THROUGHPUT: Final = re.compile(r"Avg generation throughput: (?P<rate>[\d.]+) tokens/s")
_MORE_THAN_PROBES: Final = 1.0


def shows_progress(line: str) -> bool:
    """Whether a line shows that answers get longer, and cannot come of a health probe."""
    found = _THROUGHPUT.search(line)
    return found is not None and float(found["rate"].rstrip(".") or 0) >= _MORE_THAN_PROBES


@dataclass(slots=True)
class VllmStartLog:
    """Follows one start. Feed it lines; read what is known."""

    progress: Progress = field(default_factory=lambda: Progress(Phase.IMPORTING))
    context_length_tokens: int | None = None
    kv_cache_tokens: int | None = None
    max_running_requests: int | None = None
    fired_up: bool = False
    _drafts: bool = False

    def feed(self, line: str) -> Progress | None:
        """Take one line; returns the progress where it changed."""
        if _OTHER_RANK.match(line):
            return None
        self._read_facts(line)
        if FIRED_UP in line:
            self.fired_up = True
        following = advanced(self.progress, self._progress_of(line))
        self.progress = following or self.progress
        return following

    def _progress_of(self, line: str) -> Progress | None:
        if (bar := _BAR.search(line)) is not None:
            weights = Phase.DRAFT_WEIGHTS if self._drafts else Phase.WEIGHTS
            phase = weights if bar["title"] == "Loading" else Phase.GRAPHS
            return Progress(phase, whole_number(bar["done"]), whole_number(bar["total"]))
        for marker, phase in _MARKERS:
            if marker in line:
                self._drafts = self._drafts or phase is Phase.DRAFT_WEIGHTS
                # A bar's count stays while lines of the same phase pass by.
                return self.progress if phase is self.progress.phase else Progress(phase)
        return None

    def _read_facts(self, line: str) -> None:
        for name, pattern in (
            ("kv_cache_tokens", _KV_TOKENS),
            ("context_length_tokens", _CONTEXT),
            ("max_running_requests", _NUMBER),
        ):
            found = pattern.search(line) if getattr(self, name) is None else None
            if found is not None:
                setattr(self, name, whole_number(found[1].replace(",", "")))
