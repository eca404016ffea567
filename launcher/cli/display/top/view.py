"""What the person has chosen, and what a key changes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from launcher.live.snapshot import ServerSnapshot

_Key = Callable[[ServerSnapshot], float]
# The largest first; names as they come.
_SORTS: Final[Mapping[str, _Key | None]] = {
    "name": None,
    "running": lambda one: one.figures.running_requests or 0.0,
    "waiting": lambda one: one.figures.waiting_requests or 0.0,
    "tokens": lambda one: one.figures.output_tokens_per_second or 0.0,
    "acceptance": lambda one: one.figures.acceptance.window or 0.0,
    "KV cache": lambda one: one.figures.kv_used_fraction or 0.0,
}

_STEPS: Final = {"up": -1, "k": -1, "down": 1, "j": 1}


@dataclass(frozen=True, slots=True)
class View:
    """What the person has chosen.

    Attributes:
        sort: by what servers are put in order.
        selected: name of the server that is shown in full; "" for the first.
        paused: what is shown stays.
        alone: only the selected server is shown.
        over: it is to end.
    """

    sort: str = "name"
    selected: str = ""
    paused: bool = False
    alone: bool = False
    over: bool = False


def ordered(servers: Sequence[ServerSnapshot], view: View) -> list[ServerSnapshot]:
    """The servers in the order of the view; by name, each fleet together."""
    key = _SORTS[view.sort]
    if key is None:
        roles = {"gateway": 0, "replica": 1, "remote": 2}
        return sorted(servers, key=lambda one: (one.fleet, roles.get(one.role, 0), one.name))
    return sorted(servers, key=key, reverse=True)


def selected(servers: Sequence[ServerSnapshot], view: View) -> ServerSnapshot | None:
    """The server that is shown in full: the chosen one, or the first."""
    chosen = next((one for one in servers if one.name == view.selected), None)
    return chosen or next(iter(servers), None)


def press(key: str, view: View, servers: Sequence[ServerSnapshot]) -> View:
    """What the person has chosen after a key.

    Args:
        key: as `keyboard` names it: a character, or `up`, `down`, `escape`, `enter`.
        view: before.
        servers: in the order in which they are shown.
    """
    if key in {"q", "Q"}:
        return replace(view, over=True)
    if key in {"p", " "}:
        return replace(view, paused=not view.paused)
    if key == "s":
        sorts = list(_SORTS)
        return replace(view, sort=sorts[(sorts.index(view.sort) + 1) % len(sorts)])
    if key in {"enter", "escape", "a"}:
        return replace(view, alone=key == "enter" and not view.alone)
    return replace(view, selected=_choose(key, view, servers))


def _choose(key: str, view: View, servers: Sequence[ServerSnapshot]) -> str:
    """Name of the server that is chosen after a key."""
    names = [one.name for one in servers]
    if key in _STEPS and names:
        shown = selected(servers, view)
        place = names.index(shown.name) if shown else 0
        return names[(place + _STEPS[key]) % len(names)]
    if key.isascii() and key.isdigit() and 0 < int(key) <= len(names):
        return names[int(key) - 1]
    return view.selected
