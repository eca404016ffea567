"""The loopback server keeps to its schedule, says what it did, and breaks as it was asked to."""

from __future__ import annotations

import asyncio
import math
import shutil
import statistics
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import ValidationError

from benchmarks.load.loops import run_cell
from benchmarks.load.target import Target
from benchmarks.records import Cell, Load, RequestRecord
from benchmarks.selfcheck.loopback.schedule import Schedule
from benchmarks.selfcheck.loopback.server import Loopback, loopback
from clients import ChatClient, ServerInfo
from tests.unit.benchmarks.load.wire import prompts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


def records_of(
    server: Loopback, count: int = 1, *, concurrency: int = 1, **options: object
) -> dict[str, RequestRecord]:
    """What a closed loop measures, by prompt."""
    cell = Cell("a", "w", Load(concurrency=concurrency), 0)
    _, records = asyncio.run(
        run_cell(server.target, cell, prompts(count, **options), seed=0, timeout_seconds=60)
    )
    return {record.prompt_id: record for record in records}


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_every_measured_time_lies_after_the_true_one(server: Loopback, framing: str) -> None:
    server.forget()

    records = records_of(
        server, 20, concurrency=5, framing=framing, chunks=4, first_seconds=0.01, gap_seconds=0.005
    )

    truths = {truth.key: truth for truth in server.truth()}
    assert truths.keys() == records.keys()
    for key, record in records.items():
        truth = truths[key]
        assert record.outcome == "successful", record.error
        assert record.sent_ns is not None
        assert record.sent_ns <= truth.received_ns
        # Nothing can be seen before it was written; loads of machines only make it later.
        assert truth.first_ns <= record.chunk_ns[0]
        assert truth.last_ns <= record.chunk_ns[-1] <= record.ended_ns
        assert record.completion_tokens == truth.tokens == 12
        assert len(record.chunk_ns) <= truth.chunks == 4
        # The server is never early.
        assert truth.first_ns - truth.received_ns >= 0.0099e9
        assert truth.last_ns - truth.received_ns >= 0.0249e9


def test_the_counts_fit_the_tokens(server: Loopback) -> None:
    record = records_of(server, chunks=5, tokens_per_chunk=3)["p0"]

    assert record.completion_tokens == 15
    assert record.verify_rounds == 5
    assert record.accepted_histogram == (0, 0, 5, 0)
    assert (record.correct_draft_tokens, record.proposed_draft_tokens) == (10, 15)
    assert record.answer == "word " * 15


def test_without_a_number_of_chunks_the_answer_has_as_many_tokens_as_were_asked_for(
    server: Loopback,
) -> None:
    record = records_of(server, tokens_per_chunk=4)["p0"]

    assert record.completion_tokens == 6
    assert record.verify_rounds == 2


@pytest.mark.parametrize(
    ("fault", "after", "outcome", "error"),
    [
        ("refuse status", 0, "errored", "StatusError: 500"),
        ("close", 0, "errored", "ConnectionLost"),
        ("close", 2, "incomplete", "ConnectionLost"),
        ("reset", 0, "errored", "ConnectionResetError"),
        ("reset", 2, "incomplete", "ConnectionResetError"),
        ("garbage", 0, "errored", "HttpParserError"),
        ("garbage", 2, "incomplete", "HttpParserError"),
        ("not json", 0, "errored", "StreamError: no chunk of a chat completion"),
        ("not json", 2, "incomplete", "StreamError: no chunk of a chat completion"),
        ("error event", 0, "errored", "ServerError: out of memory"),
        ("error event", 2, "incomplete", "ServerError: out of memory"),
        ("no finish reason", 0, "incomplete", "without a finish reason"),
        ("no end mark", 0, "successful", None),
    ],
)
def test_each_fault_has_its_outcome(
    server: Loopback, fault: str, after: int, outcome: str, error: str | None
) -> None:
    # Apart in time, so that what was sent before a reset is read before it.
    record = records_of(server, fault=fault, fault_after_chunks=after, chunks=3, gap_seconds=0.05)[
        "p0"
    ]

    assert record.outcome == outcome
    assert (error or "") in (record.error or "")
    if after and outcome == "incomplete":
        assert len(record.chunk_ns) == 2
    # The server lives on.
    assert records_of(server)["p0"].outcome == "successful"


def test_a_server_that_stalls_is_cut_off_when_the_time_is_over(server: Loopback) -> None:
    cell = Cell("a", "w", Load(concurrency=1), 0)
    stalling = prompts(1, fault="stall", fault_after_chunks=1, chunks=3)

    whole, records = asyncio.run(
        run_cell(server.target, cell, stalling, seed=0, timeout_seconds=0.5)
    )

    assert not whole.is_complete
    assert [record.outcome for record in records] == ["incomplete"]
    assert len(records[0].chunk_ns) == 1
    assert records[0].error is not None
    assert records[0].error.startswith("CutOff")


def test_it_listens_on_ipv6_and_ends_with_the_block() -> None:
    with loopback(host="::1") as server:
        assert server.base_url.startswith("http://[::1]:")
        assert records_of(server)["p0"].outcome == "successful"

    with pytest.raises(httpx.ConnectError):
        server.truth()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of this test's own for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl makes the certificate that TLS is tested with"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_over_tls_it_is_the_same(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with loopback(certificate=certificate) as server:
        records = records_of(server, 6, concurrency=2, chunks=3, gap_seconds=0.001)

        truths = {truth.key: truth for truth in server.truth()}

    assert {record.outcome for record in records.values()} == {"successful"}
    assert all(truths[key].last_ns <= record.ended_ns for key, record in records.items())


def test_a_certificate_that_nobody_vouches_for_is_an_error_of_the_request(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with loopback(certificate=certificate) as server:
        record = records_of(server)["p0"]

    assert record.outcome == "errored"
    assert record.sent_ns is None
    assert record.error is not None
    assert "SSLCertVerificationError" in record.error


def test_our_own_client_takes_it_for_a_server(server: Loopback) -> None:
    with ChatClient(server.base_url, model="loopback") as client:
        answer = client.stream("Hi", max_tokens=6).reply()

    assert answer.content == "word " * 6


def test_it_has_the_pages_that_benchmarks_ask_for(server: Loopback) -> None:
    def page(path: str) -> httpx.Response:
        return httpx.get(f"{server.base_url}{path}", trust_env=False)

    assert page("/health").status_code == 200
    assert page("/flush_cache").status_code == 200
    assert page("/v1/models").json()["data"][0]["id"] == server.target.model
    assert ServerInfo.from_body(page("/server_info").content).status == "ready"
    assert page("/nothing").status_code == 404


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"stream": true, "loopback": {"gap_seconds": -1}}']
)
def test_what_it_cannot_read_is_a_bad_request(server: Loopback, body: bytes) -> None:
    answer = httpx.post(f"{server.base_url}/v1/chat/completions", content=body, trust_env=False)

    assert answer.status_code == 400


def test_a_schedule_spreads_streams_and_slows_them_down() -> None:
    spread = Schedule(first_seconds=1, first_spread_seconds=2, gap_seconds=3, slowdown=1.5)

    offsets = [spread.offsets_seconds(number) for number in range(100)]

    firsts = sorted(first for first, _ in offsets)
    assert 1.5 <= firsts[0] < 1.6
    assert 4.4 < firsts[-1] <= 4.5
    # Evenly: no two neighbours are far apart.
    assert max(b - a for a, b in pairwise(firsts)) < 0.1
    assert {gap for _, gap in offsets} == {4.5}


def test_noise_is_log_normal_with_median_1_and_the_same_for_the_same_seed() -> None:
    noisy = Schedule(first_seconds=1, gap_seconds=1, noise_sigma=0.2, seed=7)

    gaps = [noisy.offsets_seconds(number)[1] for number in range(2_000)]

    assert gaps == [noisy.offsets_seconds(number)[1] for number in range(2_000)]
    assert gaps != [
        noisy.model_copy(update={"seed": 8}).offsets_seconds(number)[1] for number in range(2_000)
    ]
    logs = [math.log(gap) for gap in gaps]
    assert abs(statistics.median(logs)) < 0.02
    assert abs(statistics.stdev(logs) - 0.2) < 0.02


def test_a_schedule_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        Schedule().of_request({"loopback": {"gap": 1}})


def test_a_request_is_known_by_its_key_or_by_its_last_message() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    with_key = {"messages": messages, "loopback": {"key": "k", "chunks": 2}}

    assert Schedule().key_of({"messages": messages}) == "Hi"
    assert Schedule().of_request(with_key).key_of(with_key) == "k"
    assert Schedule(gap_seconds=1).of_request(with_key) == Schedule(
        gap_seconds=1, key="k", chunks=2
    )


def test_a_target_of_the_loopback_server_is_its_url(server: Loopback) -> None:
    assert server.target == Target(server.base_url, "loopback")
