"""Probes of the hub and of the model: is it here, and if not, can it be fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from launcher.config.presets import GLM_AIR_FP8, NANO, needs_gpus, roomy_gpus
from launcher.doctor.probes import Row, probe
from launcher.doctor.readers import REACH_SECONDS, Readers, Reply
from launcher.doctor.target import ServingTarget, missing_bytes
from launcher.errors import IndivisibleModelError, LauncherError, UnservedModelError
from launcher.memory.advice import nearest_changes
from launcher.memory.plan import Verdict, describe_margin, describe_shortage
from launcher.system.foreign import read_foreign
from launcher.text import human_bytes, short_path

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
# Source: huggingface_hub 1.x, constants.py.
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# What a header can hold; anything else would fail, and the failure would quote it.
_LARGEST_TOKEN_BYTES: Final = 64 * 1024
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token for the hub, which is never shown, and where it came from."""

    value: str
    place: str

    @property
    def is_sound(self) -> bool:
        """Whether it can be sent at all."""
        return _TOKEN.fullmatch(self.value) is not None


def find_token(environment: Mapping[str, str]) -> Token | None:
    """The token that huggingface_hub would use, or None."""
    for variable in _TOKENS:
        if value := environment.get(variable, "").strip():
            return Token(value, variable)
    cache = Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    home = Path(environment.get("HF_HOME") or cache)
    file = Path(environment.get("HF_TOKEN_PATH") or home / "token").expanduser()
    try:
        value = read_foreign(file, most_bytes=_LARGEST_TOKEN_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Token(value, short_path(file)) if value else None


def _offline(environment: Mapping[str, str]) -> str | None:
    """The variable that forbids the hub, or None."""
    on = (name for name in _OFFLINE if environment.get(name, "").upper() in _TRUE)
    return next(on, None)


def _is_here(target: ServingTarget) -> bool:
    try:
        return target.model is not None
    except LauncherError:
        return False


@probe(
    "hub",
    "hub",
    amber="the model is not here, and offline mode is on, or the hub answers 429 or 5xx",
    red="the model is not here, and the hub is not reachable or does not hand it out; green where "
    "the model is here",
    remedy="network, proxy, HF_ENDPOINT; the model's terms and `hf auth login`",
    source=f"HEAD of the model's `config.json`, {REACH_SECONDS:g} s",
)
def _hub(target: ServingTarget, readers: Readers) -> Row:
    environment = readers.environment
    given = (environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    # A mirror's address may hold a password.
    endpoint = urlsplit(given)._replace(netloc=urlsplit(given).netloc.rpartition("@")[2]).geturl()
    needed = target.config.is_repository and not _is_here(target)
    wanted = f"{target.config.model_path} to be handed out" if needed else "not needed: it is here"
    if (variable := _offline(environment)) is not None:
        action = f"Unset {variable}, or copy the model here."
        measured = f"offline mode ({variable})"
        return Row.judged("hub", measured, wanted, amber=needed, action=action)
    path = f"/{target.config.model_path}/resolve/{target.config.revision or 'main'}/config.json"
    token = find_token(environment)
    sent = token.value if needed and token is not None and token.is_sound else None
    try:
        reply = readers.reach(given + (path if needed else ""), sent)
    # Whatever goes wrong on the way is the finding.
    except Exception as error:  # noqa: BLE001
        measured = f"{endpoint} is not reachable ({type(error).__name__})"
        action = "Check the network, proxy and HF_ENDPOINT, or copy the model here."
        return Row.judged("hub", measured, wanted, red=needed, action=action)
    measured = f"{endpoint} answers {reply.status}{f' {reply.code}' if reply.code else ''}"
    if not needed or reply.status < 400:
        return Row("hub", "green", measured, wanted)
    if reply.status == 429 or reply.status >= 500:
        action = "Try again in a minute; the download goes on where it was."
        return Row("hub", "amber", measured, wanted, action)
    return Row("hub", "red", measured, wanted, _refused(reply, token))


def _refused(reply: Reply, token: Token | None) -> str:
    if reply.code == "GatedRepo":
        return "Accept the model's terms on its page, then `hf auth login`."
    if reply.status in {401, 403} and token is None:
        return "Check the name; where it is private or gated, `hf auth login`."
    if reply.status in {401, 403}:
        return f"Check the name, and that the token of {token and token.place} may read it."
    return "Check the name and the revision."


@probe(
    "hub",
    "hub-token",
    amber="it has characters that no header can hold",
    remedy="copy it once more",
    source="huggingface_hub: HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, the file that `hf "
    "auth login` writes",
)
def _token(_: ServingTarget, readers: Readers) -> Row:
    token = find_token(readers.environment)
    wanted = "one for gated and private models only"
    if token is None:
        return Row("hub token", "green", "none", wanted)
    measured = f"{'' if token.is_sound else 'malformed, '}from {token.place}"
    action = "Copy it once more: it has a blank or a control character inside."
    return Row.judged("hub token", measured, wanted, amber=not token.is_sound, action=action)


@probe(
    "model",
    "model-files",
    amber="a repository that is not here yet, or in part",
    red="a folder that is missing, incomplete or does not answer, or a repository that is not "
    "here in offline mode",
    remedy="`python -m launcher pull`; fetch the file again that is named",
    source="`launcher.models.folder.check_model_folder`, which `up` asks as well",
)
def _files(target: ServingTarget, readers: Readers) -> Row:
    config = target.config
    wanted = f"{config.model_path if config.is_repository else config.served_model_name}, complete"
    if target.problem:
        action = "See what the disk that holds it waits for: `mount`, `dmesg`."
        return Row("model files", "red", target.problem, wanted, action)
    problem = "not here"
    action = "`python -m launcher pull` fetches it, and so does the first `up`."
    try:
        if target.model is not None:
            size, where = human_bytes(target.model.weights_bytes), short_path(target.model.path)
            return Row("model files", "green", f"weights of {size} in {where}", wanted)
    except LauncherError as error:
        problem = error.problem
        if not config.is_repository:
            return Row("model files", "red", problem, wanted, error.action)
    if missing := missing_bytes(config):
        problem += f"; {human_bytes(missing)} to download"
    is_offline = _offline(readers.environment) is not None
    if is_offline:
        problem += ", in offline mode"
        action = "Leave offline mode, or copy the model here."
    return Row.judged("model files", problem, wanted, red=is_offline, amber=True, action=action)


@probe(
    "model",
    "memory-plan",
    amber="it serves with less context than the model or `--context-length` has, or just fits",
    red="it does not fit, or SGLang cannot divide it among the ranks, or run it on this device",
    remedy="what `python -m launcher plan` proposes first",
    source="`launcher.memory.plan.plan_memory`, which `up` asks as well",
)
def _plan(target: ServingTarget, _: Readers) -> Row:
    """The memory plan, where the shape is known and the GPUs are here."""
    wanted = f"room for {target.config.served_model_name} and its context"
    try:
        plan = None if target.problem else target.plan
    except (IndivisibleModelError, UnservedModelError) as error:
        return Row("memory plan", "red", error.problem.rstrip("."), wanted, error.action)
    if plan is None:
        return Row("memory plan", "green", "not planned: no shape, or no GPU for it, here", wanted)
    measured = (
        f"{plan.kv_cache_tokens:,} tokens of KV cache, {plan.context_tokens:,} of "
        f"{plan.wanted_context_tokens:,} for one request"
    )
    if plan.verdict is Verdict.FITS:
        return Row("memory plan", "green", measured, wanted)
    changes = nearest_changes(plan)
    action = f"Use {changes[0].what}: {changes[0].flags}." if changes else "Use a smaller model."
    if plan.verdict is Verdict.DOES_NOT_FIT:
        return Row("memory plan", "red", describe_shortage(plan).rstrip("."), wanted, action)
    if plan.verdict is Verdict.JUST_FITS:
        measured = describe_margin(plan).rstrip(".")
    return Row("memory plan", "amber", measured, wanted, action)


@probe("model", "servable", source="`launcher.config.presets.roomy_gpus`, by which `up` chooses")
def _servable(target: ServingTarget, _: Readers) -> Row:
    """What the presets need, held against this machine, whatever was asked for."""
    fraction = GLM_AIR_FP8.fields["mem_fraction_static"]
    roomy = roomy_gpus(target.hardware, GLM_AIR_FP8, fraction)
    measured = f"{GLM_AIR_FP8.name} on GPUs, {NANO.name} on the CPU"
    if len(roomy) < GLM_AIR_FP8.gpus:
        measured = f"{NANO.name} on the CPU; {GLM_AIR_FP8.name} {needs_gpus(GLM_AIR_FP8)}"
    asked = f"{target.config.served_model_name} ({target.reason})"
    return Row("can be served here", "green", measured, asked)


PROBES: Final = (_hub, _token, _files, _plan, _servable)
