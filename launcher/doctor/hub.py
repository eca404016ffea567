"""Probes of the hub and of the model: is it here, and if not, can it be fetched."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from launcher.config.presets import GLM_AIR_FP8, NANO, needs_gpus, roomy_gpus
from launcher.doctor.needs import Needs, missing_bytes
from launcher.doctor.probes import Probe, Row, Status
from launcher.errors import LauncherError
from launcher.memory.advice import nearest_changes
from launcher.memory.plan import Verdict, describe_shortage
from launcher.models.folder import check_model_folder
from launcher.preflight.facts import ServingFacts
from launcher.text import human_bytes, short_path

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
REACH_SECONDS: Final = 3.0
# Source: huggingface_hub 1.x, constants.py.
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# What a header can hold; anything else would fail, and the failure would quote it.
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the hub said.

    Attributes:
        status: of HTTP.
        code: the hub's own word for it, from the header `X-Error-Code`, or nothing.
    """

    status: int
    code: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A token for the hub, which is never shown, and where it came from."""

    value: str
    place: str

    @property
    def is_sound(self) -> bool:
        """Whether it can be sent at all."""
        return _TOKEN.fullmatch(self.value) is not None


Reach = Callable[[str, str | None], Reply]


def reach_hub(url: str, token: str | None) -> Reply:
    """Ask for the head of an address, and follow nothing.

    Raises:
        httpx.HTTPError: no answer; its words hold no header.
    """
    # Imported here: `up` and `status` must not pay for it.
    import httpx  # noqa: PLC0415

    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    reply = httpx.head(url, headers=headers, timeout=REACH_SECONDS, follow_redirects=False)
    return Reply(reply.status_code, reply.headers.get("X-Error-Code", ""))


def hub_probes(
    needs: Needs, environment: Mapping[str, str], *, reach: Reach = reach_hub
) -> tuple[Probe, ...]:
    """The probes of the groups hub and model."""
    return (
        Probe(
            "hub",
            "hub",
            lambda: [_hub(needs, environment, reach)],
            amber="the model is not here, and offline mode is on, or the hub answers 429 or 5xx",
            red="the model is not here, and the hub is not reachable or does not hand it out; "
            "green where the model is here",
            remedy="network, proxy, HF_ENDPOINT; the model's terms and `hf auth login`",
            source=f"HEAD of the model's `config.json`, {REACH_SECONDS:g} s",
        ),
        Probe(
            "hub-token",
            "hub",
            lambda: [_token_row(environment)],
            amber="it has characters that no header can hold",
            remedy="copy it once more",
            source="huggingface_hub: HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, the file "
            "that `hf auth login` writes",
        ),
        Probe(
            "model-files",
            "model",
            lambda: [_files(needs, environment)],
            amber="a repository that is not here yet, or in part",
            red="a folder that is missing, incomplete or does not answer, or a repository that is "
            "not here in offline mode",
            remedy="`python -m launcher pull`; fetch the file again that is named",
            source="`launcher.models.folder.check_model_folder`, which `up` asks as well",
        ),
        Probe(
            "memory-plan",
            "model",
            lambda: [_plan(needs)],
            amber="it serves with less context than the model or `--context-length` has",
            red="it does not fit",
            remedy="what `python -m launcher plan` proposes first",
            source="`launcher.memory.plan.plan_memory`, which `up` asks as well",
        ),
        Probe(
            "servable",
            "model",
            lambda: [_servable(needs)],
            source="`launcher.config.presets.roomy_gpus`, by which `up` chooses",
        ),
    )


def find_token(environment: Mapping[str, str]) -> Token | None:
    """The token that huggingface_hub would use, or None."""
    for variable in _TOKENS:
        if value := environment.get(variable, "").strip():
            return Token(value, variable)
    cache = Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    home = Path(environment.get("HF_HOME") or cache)
    file = Path(environment.get("HF_TOKEN_PATH") or home / "token").expanduser()
    try:
        value = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Token(value, short_path(file)) if value else None


def _offline(environment: Mapping[str, str]) -> str | None:
    """The variable that forbids the hub, or None."""
    on = (name for name in _OFFLINE if environment.get(name, "").upper() in _TRUE)
    return next(on, None)


def _is_here(needs: Needs) -> bool:
    try:
        return needs.folder is not None and bool(check_model_folder(needs.folder))
    except LauncherError:
        return False


def _hub(needs: Needs, environment: Mapping[str, str], reach: Reach) -> Row:
    given = (environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    # A mirror's address may hold a password.
    endpoint = urlsplit(given)._replace(netloc=urlsplit(given).netloc.rpartition("@")[2]).geturl()
    needed = needs.config.is_repository and not _is_here(needs)
    wanted = f"{needs.config.model_path} to be handed out" if needed else "not needed: it is here"
    if (variable := _offline(environment)) is not None:
        action = f"Unset {variable}, or copy the model here." if needed else None
        status: Status = "amber" if needed else "green"
        return Row("hub", status, f"offline mode ({variable})", wanted, action)
    path = f"/{needs.config.model_path}/resolve/{needs.config.revision or 'main'}/config.json"
    token = find_token(environment)
    sent = token.value if needed and token is not None and token.is_sound else None
    try:
        reply = reach(given + (path if needed else ""), sent)
    # Whatever goes wrong on the way is the finding.
    except Exception as error:  # noqa: BLE001
        measured = f"{endpoint} is not reachable ({type(error).__name__})"
        if not needed:
            return Row("hub", "green", measured, wanted)
        action = "Check the network, proxy and HF_ENDPOINT, or copy the model here."
        return Row("hub", "red", measured, wanted, action)
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


def _token_row(environment: Mapping[str, str]) -> Row:
    token = find_token(environment)
    wanted = "one for gated and private models only"
    if token is None:
        return Row("hub token", "green", "none", wanted)
    if not token.is_sound:
        action = "Copy it once more: it has a blank or a control character inside."
        return Row("hub token", "amber", f"malformed, from {token.place}", wanted, action)
    return Row("hub token", "green", f"from {token.place}", wanted)


def _files(needs: Needs, environment: Mapping[str, str]) -> Row:
    config = needs.config
    wanted = f"{config.model_path if config.is_repository else config.served_model_name}, complete"
    if needs.problem:
        action = "See what the disk that holds it waits for: `mount`, `dmesg`."
        return Row("model files", "red", needs.problem, wanted, action)
    problem = "not here"
    action = "`python -m launcher pull` fetches it, and so does the first `up`."
    if needs.folder is not None:
        try:
            folder = check_model_folder(needs.folder)
        except LauncherError as error:
            problem, refused = error.problem, error.action
            if not config.is_repository:
                return Row("model files", "red", problem, wanted, refused)
        else:
            size = human_bytes(folder.weights_bytes)
            where = short_path(folder.path)
            return Row("model files", "green", f"weights of {size} in {where}", wanted)
    missing = missing_bytes(config)
    if missing:
        problem += f"; {human_bytes(missing)} to download"
    if _offline(environment) is not None:
        action = "Leave offline mode, or copy the model here."
        return Row("model files", "red", f"{problem}, in offline mode", wanted, action)
    return Row("model files", "amber", problem, wanted, action)


def _plan(needs: Needs) -> Row:
    """The memory plan, where the shape is known and the GPUs are here."""
    wanted = f"room for {needs.config.served_model_name} and its context"
    plan = None if needs.problem else ServingFacts(needs.config, needs.hardware).plan
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
    return Row("memory plan", "amber", measured, wanted, action)


def _servable(needs: Needs) -> Row:
    """What the presets need, held against this machine, whatever was asked for."""
    fraction = GLM_AIR_FP8.fields["mem_fraction_static"]
    roomy = roomy_gpus(needs.hardware, GLM_AIR_FP8, fraction)
    fits = len(roomy) >= GLM_AIR_FP8.gpus
    measured = f"{GLM_AIR_FP8.name} on GPUs, {NANO.name} on the CPU"
    if not fits:
        measured = f"{NANO.name} on the CPU; {GLM_AIR_FP8.name} {needs_gpus(GLM_AIR_FP8)}"
    asked = f"{needs.config.served_model_name} ({needs.reason})"
    return Row("can be served here", "green", measured, asked)
