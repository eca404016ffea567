"""The hub, a real server on loopback, and the model, real files: what is told of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from launcher.doctor.hub import PROBES, Token, find_token
from launcher.doctor.probes import Row, examine
from launcher.doctor.readers import Readers
from launcher.doctor.target import serving_target
from launcher.models.places import CachePlace
from launcher.models.store import hub_cache
from launcher.nano.folder import model_path
from launcher.system.hardware import GIB, Gpu, Hardware

NO_GPU = Hardware((), "none", (0, 1), 20 * GIB)
MODEL = "zai-org/GLM-4.5-Air-FP8"
TOKEN = "hf_" + "s3cret" * 5


@dataclass
class Hub:
    """What it answers, and what it was asked."""

    url: str
    status: int = 200
    code: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def hub() -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:  # http.server's name
            told.asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(told.status)
            if told.code:
                self.send_header("X-Error-Code", told.code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def look(asked: str = MODEL, hardware: Hardware = NO_GPU, **environment: str) -> dict[str, Row]:
    environment = {"HF_HOME": "/nowhere", "HF_ENDPOINT": "http://127.0.0.1:9"} | environment
    readers = Readers(environment=environment)
    findings = examine(PROBES, serving_target(asked, hardware, {}), readers)
    return {finding.probe: finding.row for finding in findings}


@pytest.mark.parametrize(
    ("reply", "token", "colour", "action"),
    [
        ((200, ""), "", "green", None),
        ((307, ""), "", "green", None),
        ((401, "RepoNotFound"), "", "red", "hf auth login"),
        ((401, "RepoNotFound"), TOKEN, "red", "the token of HF_TOKEN may read it"),
        ((403, "GatedRepo"), TOKEN, "red", "Accept the model's terms"),
        ((404, "RevisionNotFound"), TOKEN, "red", "the revision"),
        ((429, ""), "", "amber", "Try again"),
        ((503, ""), "", "amber", "Try again"),
    ],
)
def test_what_the_hub_says_of_a_model_that_is_not_here(
    hub: Hub, reply: tuple[int, str], token: str, colour: str, action: str | None
) -> None:
    hub.status, hub.code = status, code = reply

    row = look(HF_ENDPOINT=f"{hub.url}/", HF_TOKEN=token)["hub"]

    assert row.status == colour
    assert row.measured == f"{hub.url} answers {status} {code}".strip()
    assert (action or "") in (row.action or "")
    authorization = f"Bearer {token}" if token else None
    assert hub.asked == [(f"/{MODEL}/resolve/main/config.json", authorization)]


def test_a_model_that_is_here_needs_no_hub_and_sends_no_token(hub: Hub) -> None:
    hub.status = 500
    assert look("nano", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)["hub"].status == "green"
    assert [authorization for _, authorization in hub.asked] == [None]

    row = look("nano")["hub"]
    assert (row.status, row.measured) == (
        "green",
        "http://127.0.0.1:9 is not reachable (ConnectError)",
    )


def test_a_hub_that_is_needed_and_not_reachable_is_red() -> None:
    assert look()["hub"].status == "red"


@pytest.mark.parametrize(
    ("asked", "hub_colour", "files_colour"),
    [("nano", "green", "green"), (MODEL, "amber", "red")],
)
def test_offline_mode_is_a_row_of_its_own(
    hub: Hub, asked: str, hub_colour: str, files_colour: str
) -> None:
    rows = look(asked, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")

    assert rows["hub"].measured == "offline mode (HF_HUB_OFFLINE)"
    assert (rows["hub"].status, rows["model-files"].status) == (hub_colour, files_colour)
    assert hub.asked == []


@pytest.mark.parametrize("value", ["hf_x y", "hf_x\ny", "hf_\u00e9", TOKEN])
def test_no_token_is_ever_shown(hub: Hub, value: str) -> None:
    hub.status, hub.code = 401, "RepoNotFound"

    rows = look(HF_ENDPOINT=hub.url, HF_TOKEN=value)

    sound = value == TOKEN
    assert rows["hub-token"].status == ("green" if sound else "amber")
    assert "HF_TOKEN" in rows["hub-token"].measured
    shown = " ".join(str(row) for row in rows.values())
    assert value not in shown
    assert value not in repr(Token(value, "HF_TOKEN"))
    # One that no header can hold is not sent.
    assert [authorization for _, authorization in hub.asked] == [
        f"Bearer {value}" if sound else None
    ]


def test_a_password_in_a_mirror_s_address_is_not_shown(hub: Hub) -> None:
    address = hub.url.replace("http://", "http://me:pa55word@")

    row = look(HF_ENDPOINT=address)["hub"]

    assert row.measured == f"{hub.url} answers 200"
    assert hub.asked[0][1] is not None
    assert hub.asked[0][1].startswith("Basic ")


def test_the_token_is_where_huggingface_hub_keeps_it(tmp_path: Path) -> None:
    assert find_token({"HF_HOME": str(tmp_path)}) is None
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    assert find_token({"HF_HOME": str(tmp_path)}) == Token(TOKEN, str(tmp_path / "token"))
    assert find_token({"HF_TOKEN_PATH": str(tmp_path / "token")}) is not None
    named = find_token({"HF_HOME": str(tmp_path), "HUGGING_FACE_HUB_TOKEN": "other"})
    assert named == Token("other", "HUGGING_FACE_HUB_TOKEN")
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert find_token({"HF_HOME": str(tmp_path)}) is None


def snapshot() -> Path:
    """The nano model as a snapshot of another repository in the cache."""
    folder = CachePlace(hub_cache(), MODEL).root
    commit = "0123456789abcdef0123456789abcdef01234567"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    target = folder / "snapshots" / commit
    target.mkdir(parents=True)
    for file in model_path().iterdir():
        if file.is_file():
            (target / file.name).symlink_to(file)
    return target


def test_a_repository_in_the_cache_is_told_whole_or_in_part() -> None:
    missing = look("glm-4.5-air-fp8")["model-files"]
    assert missing.status == "amber"
    assert missing.measured == "not here; 105.4 GiB to download"

    target = snapshot()
    rows = look()
    assert (rows["model-files"].status, rows["hub"].status) == ("green", "green")

    next(target.glob("*.safetensors")).unlink()
    rows = look()
    assert (rows["model-files"].status, rows["hub"].status) == ("amber", "red")
    assert "safetensors" in rows["model-files"].measured


def test_the_memory_plan_is_a_row() -> None:
    card = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, (9, 0))
    two = Hardware((card, replace(card, index=1, uuid="GPU-1")), "all", (0,), 20 * GIB)

    nano = look("nano")["memory-plan"]
    less = look("glm-4.5-air-fp8", two)["memory-plan"]
    large = look("zai-org/GLM-4.5", two)["memory-plan"]
    absent = look("glm-4.5-air-fp8")["memory-plan"]

    assert (nano.status, nano.measured) == (
        "green",
        "65,536 tokens of KV cache, 8,192 of 8,192 for one request",
    )
    assert (less.status, large.status, absent.status) == ("amber", "red", "green")
    assert "of 131,072 for one request" in less.measured
    assert "--kv-cache-dtype fp8_e4m3" in (less.action or "")
    assert "Target and draft weights take" in large.measured


def test_ranks_that_sglang_would_refuse_are_red() -> None:
    card = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, (9, 0))
    cards = tuple(replace(card, index=index, uuid=f"GPU-{index}") for index in range(5))
    machine = Hardware(cards, "all", (0,), 20 * GIB)
    five = serving_target("zai-org/GLM-4.5-Air", machine, {"SPECSERVE_TP_SIZE": "5"})
    readers = Readers(environment={"HF_HOME": "/nowhere", "HF_ENDPOINT": "http://127.0.0.1:9"})
    rows = {finding.probe: finding.row for finding in examine(PROBES, five, readers)}
    row = rows["memory-plan"]

    assert row.status == "red"
    assert "96 attention heads cannot be divided among 5 ranks" in row.measured
    assert row.action == "Use --tp-size 4."


def test_what_can_be_served_is_said_plainly() -> None:
    card = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, (9, 0))
    two = Hardware((card, card), "all", (0,), GIB)

    assert look("nano")["servable"].measured.startswith("nano on the CPU; glm-4.5-air-fp8 needs 2")
    assert look("nano", two)["servable"].measured == "glm-4.5-air-fp8 on GPUs, nano on the CPU"


def test_fp8_is_known_by_the_config_and_until_then_by_the_name(tmp_path: Path) -> None:
    assert serving_target(MODEL, NO_GPU, {}).is_fp8
    assert not serving_target("zai-org/GLM-4.5-Air", NO_GPU, {}).is_fp8
    snapshot()
    assert not serving_target(MODEL, NO_GPU, {}).is_fp8

    config = tmp_path / "config.json"
    for text, expected in (
        ('{"quantization_config": {"quant_method": "fp8"}}', True),
        ('{"quantization_config": {"format": "float-quantized"}}', True),
        ('{"quantization_config": {"quant_method": "awq"}}', False),
        ("[]", False),
        ("{", False),
    ):
        config.write_text(text)
        assert serving_target(str(tmp_path), NO_GPU, {}).is_fp8 is expected, text
