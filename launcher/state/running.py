"""The error that says under which name, and where, something runs already."""

from __future__ import annotations

from launcher.errors import AlreadyRunningError
from launcher.state.record import RunRecord
from launcher.system.locks import LockHolder


def already_running(
    record: RunRecord | None, name: str, holder: LockHolder | None = None
) -> AlreadyRunningError:
    """The error that names what runs.

    Args:
        record: of the server, where there is one.
        name: its own.
        holder: of its lock, where that was looked for.
    """
    if record is not None and record.elsewhere is not None:
        return _runs_elsewhere(name, record.elsewhere, f" at {record.base_url}")
    if holder is not None and not holder.is_here:
        return _runs_elsewhere(name, holder.where, "")
    if record is not None and record.server is not None and record.is_running:
        return AlreadyRunningError(
            f"The server {name!r} is already running: {record.live_state} at {record.base_url}, "
            f"model {record.served_model_name}, process {record.server.pid}, "
            f"since {record.started_at:%Y-%m-%d %H:%M:%S} UTC.",
            action=f"Use it, stop it with `python -m launcher down --name {name}`, "
            "or start another one with --name and --port.",
        )
    who = "" if holder is None else f": process {holder.pid} holds its lock"
    return AlreadyRunningError(
        f"A server named {name!r} is already starting{who}.",
        action=f"`python -m launcher status --name {name}` shows how far it is, `python -m "
        f"launcher down --name {name}` stops it; or start another one with --name and --port.",
    )


def _runs_elsewhere(name: str, where: str, at: str) -> AlreadyRunningError:
    return AlreadyRunningError(
        f"The server {name!r} runs{at} {where}: its lock is held.",
        action=f"Run `python -m launcher down --name {name}` there, where it was started; or set "
        "XDG_STATE_HOME to a folder that is not shared, or start another one with --name and "
        "--port.",
    )
