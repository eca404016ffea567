"""Arms as running servers: started by the launcher, or already there under a URL."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from benchmarks.errors import ArmFailedError, PlanError, TargetError, UnreachableError
from benchmarks.load.target import Target
from benchmarks.plan import Arm
from benchmarks.records import SpeculationCounts
from benchmarks.results import ArmStart
from benchmarks.running.resources import server_cpu_seconds
from clients import (
    AnswerLimits,
    ChatClient,
    ClientError,
    ConfigurationError,
    RetryPolicy,
    read_run_record,
)
from clients.http.local.own_server import OwnServer
from clients.http.transport import RuledClient, Rules
from launcher.config.server_config import ServerConfig
from launcher.errors import ConfigError, LauncherError
from launcher.serving import configure, free_port, serving
from launcher.state.events import Event
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.stop import stop_server

Said = TypeVar("Said")
ADMIN_TIMEOUT_SECONDS: Final = 30.0
FLUSH_SECONDS: Final = 10.0
# What a restart would hide: a server that fell over while it was measured.
_ONCE: Final = RetryPolicy(retries=0)
# Chosen for each start.
_OWN_FIELDS: Final = frozenset({"name", "port", "restart", "admin_key_file"})
_NEVER_RESTARTED: Final = {"restart": "never"}


@dataclass(frozen=True, slots=True)
class ServedArm:
    """A server that answers, and what the runner does to it beside sending requests.

    Attributes:
        arm: of the plan.
        target: where requests go.
        start: what a report says of it.
        tokenizer: the folder of the served model, for other benchmarks; None where it is elsewhere.
        gpus: UUIDs of the GPUs it has.
        cpu_seconds: of all its processes until now; None where they are elsewhere, or gone.
        flush_cache: empties the prefix cache; False where the server does not let us.
        speculation: the server's counters now; None where it has none.
    """

    arm: Arm
    target: Target
    start: ArmStart
    tokenizer: Path | None
    gpus: tuple[str, ...]
    cpu_seconds: Callable[[], float | None]
    flush_cache: Callable[[], bool]
    speculation: Callable[[], SpeculationCounts | None]


def server_name(arm: Arm, tag: str) -> str:
    """What the launcher calls the server of an arm: one name for one folder of results and arm."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"bench-{tag}-{arm.name}")[:64]


def configuration(arm: Arm, shared: Mapping[str, Any]) -> ServerConfig:
    """The configuration of an arm, as the launcher checks it.

    Raises:
        PlanError: its fields make no sense, or are not a plan's to choose.
    """
    if own := sorted(_OWN_FIELDS & {*shared, *arm.fields}):
        raise PlanError(
            f"Arm {arm.name!r} sets {', '.join(own)}, which each start chooses for itself.",
            action="Leave it out; a server at an address of yours is an arm NAME=URL.",
        )
    try:
        return configure(_fields(arm, shared))
    except ConfigError as error:
        raise PlanError(
            f"Arm {arm.name!r}: {error.problem}", action=error.action, evidence=error.evidence
        ) from error


def _fields(arm: Arm, shared: Mapping[str, Any]) -> dict[str, Any]:
    return {**shared, **arm.fields, **_NEVER_RESTARTED}


@contextlib.contextmanager
def open_arm(
    arm: Arm,
    shared: Mapping[str, Any],
    *,
    round_number: int,
    tag: str,
    tell: Callable[[Event], None] = lambda _: None,
) -> Iterator[ServedArm]:
    """Have an arm's server while the block runs.

    Args:
        arm: to serve; one with a URL is only connected to.
        shared: fields that all arms have.
        round_number: for the record.
        tag: of the folder of results, which only one run has at a time: what a run that was killed
            has left under this name is stopped.
        tell: is told each event of the launcher's.

    Raises:
        UnreachableError: nothing answers at the arm's URL.
        ArmFailedError: the launcher could not start or stop it.
    """
    if arm.url is not None:
        yield connect(arm, arm.url, round_number=round_number)
        return
    name = server_name(arm, tag)
    doing = "start"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        admin_key = secrets.token_hex(32)
        key_file = Path(folder) / "admin-key"
        key_file.touch(mode=0o600)
        key_file.write_text(admin_key)
        fields = {
            **_fields(arm, shared),
            "port": free_port(),
            "admin_key_file": str(key_file),
        }
        try:
            stop_server(RunStore(name))
            with serving(fields, name=name, tell=tell) as record:
                doing = "stop"
                yield _served(arm, record, admin_key, round_number)
        except LauncherError as error:
            if _was_interrupted(error):
                # It did not stop when told so by Ctrl-C, which must not be forgotten for it.
                raise KeyboardInterrupt(error.problem) from error
            raise ArmFailedError(
                f"Arm {arm.name!r} did not {doing}: {error.problem}",
                action=error.action,
                evidence=error.evidence,
            ) from error


def _was_interrupted(error: BaseException) -> bool:
    context = error.__context__
    while context is not None and not isinstance(context, KeyboardInterrupt):
        context = context.__context__
    return context is not None


def _served(arm: Arm, record: RunRecord, admin_key: str, round_number: int) -> ServedArm:
    key_file = record.api_key_file
    key = key_file.read_text().strip() if key_file else os.environ.get("LAUNCHER_API_KEY")
    own = OwnServer(read_run_record(record.name))
    target = Target(record.base_url, record.served_model_name, key, own)
    # Keys are never in it; the place of the admin key's file means nothing to anybody else.
    written = record.model_dump(mode="json")
    written["config"].pop("admin_key_file", None)
    model = Path(_option(record.command, "--model-path") or record.model_path)
    return ServedArm(
        arm=arm,
        target=target,
        start=ArmStart(
            arm=arm.name,
            round=round_number,
            base_url=record.base_url,
            run_record=written,
            server_info=_server_info(target),
            versions=record.versions,
        ),
        tokenizer=model if model.is_dir() else None,
        gpus=tuple(filter(None, record.environment.get("CUDA_VISIBLE_DEVICES", "").split(","))),
        cpu_seconds=lambda: server_cpu_seconds(record),
        flush_cache=lambda: _flush(target, admin_key),
        speculation=lambda: _speculation(target),
    )


def connect(arm: Arm, url: str, *, round_number: int = 0) -> ServedArm:
    """Connect to a server that already runs; the key comes from SPECSERVE_API_KEY.

    Raises:
        PlanError: that is no URL.
        UnreachableError: nothing answers there, or not as an OpenAI-compatible server.
    """
    key = os.environ.get("SPECSERVE_API_KEY")
    base_url = url.rstrip("/").removesuffix("/v1").rstrip("/")
    model = _first_model(arm, base_url, key)
    target = Target(base_url, model, key)
    info = _server_info(target)
    folder = Path(str((info or {}).get("model_path", "")))
    return ServedArm(
        arm=arm,
        target=target,
        start=ArmStart(
            arm=arm.name,
            round=round_number,
            base_url=base_url,
            server_info=info,
            versions=_versions(target),
        ),
        tokenizer=folder if folder.name and folder.is_dir() else None,
        gpus=(),
        cpu_seconds=lambda: None,
        flush_cache=lambda: _flush(target, None),
        speculation=lambda: _speculation(target),
    )


def _first_model(arm: Arm, base_url: str, key: str | None) -> str:
    try:
        with ChatClient(base_url, api_key=key, model="unknown", retry=_ONCE) as client:
            models = client.models()
    except ConfigurationError as error:
        raise PlanError(f"Arm {arm.name!r}: {error.problem}", action=error.action) from error
    except ClientError as error:
        raise UnreachableError(
            f"Arm {arm.name!r} cannot be measured: {error.problem}", action=error.action
        ) from error
    if not models:
        raise UnreachableError(
            f"Arm {arm.name!r}: {base_url}/v1/models lists no model.",
            action="Give the address of an OpenAI-compatible server that serves one.",
        )
    return models[0]


def _server_info(target: Target) -> dict[str, Any] | None:
    """What SGLang says of itself; None of another server."""
    info = _ask(target, ChatClient.server_info)
    return info.model_dump(mode="json") if info else None


def _versions(target: Target) -> dict[str, str]:
    """The engine that answers, by what it says."""
    engine = _ask(target, ChatClient.engine)
    return {engine.name: engine.version} if engine and engine.version else {}


def _speculation(target: Target) -> SpeculationCounts | None:
    said = _ask(target, ChatClient.metrics)
    if said is None or said.verify_rounds is None:
        return None
    return SpeculationCounts(
        verify_rounds=said.verify_rounds,
        proposed=said.draft_tokens or 0,
        accepted=said.accepted_tokens or 0,
        accepted_by_position=said.accepted_per_position or (),
    )


def _ask(target: Target, question: Callable[[ChatClient], Said]) -> Said | None:
    """What a server answers; None where it does not."""
    try:
        target.check()
        with ChatClient(
            target.base_url, api_key=target.api_key, model=target.model, retry=_ONCE
        ) as client:
            return question(client)
    except (ClientError, TargetError, ValueError):
        return None


def _flush(target: Target, admin_key: str | None) -> bool:
    key = admin_key or target.api_key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with RuledClient(
            Rules(AnswerLimits(), target.own),
            timeout=ADMIN_TIMEOUT_SECONDS,
            trust_env=False,
            # Reading the system's certificates takes longer than the request.
            verify=target.base_url.startswith("https:"),
        ) as http:
            # SGLang waits so long for requests that are still being cleared away.
            answer = http.post(
                f"{target.base_url}/flush_cache", params={"timeout": FLUSH_SECONDS}, headers=headers
            )
    except (httpx.HTTPError, ClientError):
        return False
    return answer.is_success


def is_alive(served: ServedArm) -> bool:
    """Whether anything answers at all, fast or slow; not whether it generates."""
    try:
        served.target.check()
        _first_model(served.arm, served.target.base_url, served.target.api_key)
    except TargetError:
        return False
    return True


def _option(command: tuple[str, ...], name: str) -> str | None:
    return command[command.index(name) + 1] if name in command else None
