"""A hub that lies is told from one that cannot be reached, within bounds."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from launcher import errors
from launcher.models.download import bounds, hub
from launcher.models.download.events import PullEvent, PullRetries
from launcher.models.download.hub import Hub
from launcher.models.download.pull import pull
from launcher.models.download.request import PullRequest
from launcher.models.download.retries import TransientError
from launcher.models.folder import LARGEST_JSON_BYTES
from launcher.preflight.fit import find_shape
from tests.unit.launcher.models import hostile_hub
from tests.unit.launcher.models.hostile_hub import (
    MODEL,
    RIGHT,
    Case,
    LyingHub,
    Reply,
    listing_of,
    lying_hub,
    reply,
    sibling,
)


@pytest.fixture(scope="module")
def liar() -> Iterator[LyingHub]:
    with pytest.MonkeyPatch.context() as patch, lying_hub(patch) as hub:
        yield hub


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


class Pulled:
    """How a pull from a lying hub ended."""

    def __init__(self, liar: LyingHub, case: Case) -> None:
        liar.begin(case)
        self.events: list[PullEvent] = []
        self.error: errors.LauncherError | None = None
        try:
            pull(PullRequest(MODEL), Hub(liar.endpoint), self.events.append)
        except errors.LauncherError as error:
            self.error = error

    @property
    def retries(self) -> int:
        return sum(isinstance(event, PullRetries) for event in self.events)


def listed(*more: dict[str, object]) -> Case:
    """The right list of files, and more in it."""
    info = listing_of(RIGHT)
    info["siblings"] += more
    return Case(listing=reply(json.dumps(info).encode()))


@settings(max_examples=400, suppress_health_check=[*HealthCheck])
@given(hostile_hub.cases())
def test_a_hub_that_lies_at_random_gets_an_error_of_ours(
    liar: LyingHub, tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    assert hostile_hub.flaw(liar, case, tmp_path_factory.mktemp("pull")) is None


ENDLESS = Reply(reply(length=False).head, b"[", "endless")
DRIP = Reply(reply(length=False).head, b"[", "drip")
COMPRESSED = reply(gzip.compress(b"[" * 30_000_000), "Content-Encoding: gzip")


@pytest.mark.parametrize(
    ("listing", "problem"),
    [
        (ENDLESS, "is too large: the list of files of owner/model has 1."),
        (reply(b"0" * (2**20 + 1)), "is too large: the list of files of owner/model has 1.0 MiB"),
        (DRIP, "takes too long: the list of files of owner/model has not come whole within 1.0 s"),
        (Reply(b"HTTP/1.1 200 OK", b"", "drip-head"), "takes too long"),
        (Reply(b"HTTP/1.1 103 Early", b"", "informs"), "takes too long"),
        (COMPRESSED, "compressed the list of files of owner/model although it was asked not to"),
        (reply(b"", "Location: {self}", status=302), "leads in circles"),
        (reply(b"", "Location: ftp://127.0.0.1/x", status=302), "that is none of a hub"),
        (reply(b"[" * 100_000), "is nested without end"),
    ],
    ids=["endless", "large", "drip", "drip-head", "informs", "gzip", "loop", "ftp", "deep"],
)
def test_an_answer_beyond_the_bounds_is_named_at_once(
    liar: LyingHub, listing: Reply, problem: str
) -> None:
    pulled = Pulled(liar, Case(listing=listing))
    assert isinstance(pulled.error, errors.HubAnswerError)
    assert problem in pulled.error.problem
    assert pulled.retries == 0
    assert liar.tally.sent_bytes < 8 * 2**20


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rfilename": "config.json"}, "names a file twice"),
        ({"size": "12"}, "its size has a form that no hub gives"),
        ({"size": True}, "its size has a form that no hub gives"),
        ({"size": -5}, "its size has a form that no hub gives"),
        ({"size": 10**30}, "its size has a form that no hub gives"),
        ({"blobId": "../../x"}, "its hash has a form that no hub gives"),
        ({"rfilename": 5}, "its name has a form that no hub gives"),
        ({"rfilename": ""}, "its name has a form that no hub gives"),
    ],
)
def test_a_list_that_no_hub_gives_is_refused_with_what_is_wrong(
    liar: LyingHub, change: dict[str, object], problem: str
) -> None:
    error = Pulled(liar, listed({**sibling("a.json", b""), **change})).error
    assert isinstance(error, errors.HubError)
    assert problem in error.problem


def test_a_list_with_more_files_than_any_model_is_refused(
    liar: LyingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MOST_FILES", 100)
    error = Pulled(liar, listed(*(sibling(f"{number}.json", b"") for number in range(100)))).error
    assert isinstance(error, errors.HubError)
    assert "103 files, and 100 at most" in error.problem


@pytest.mark.parametrize(
    "name", ["../evil.json", "/evil.json", "evil\\b.json", "evil\x1b.json", "evil\0.json"]
)
def test_a_file_whose_name_is_a_trap_is_not_fetched(
    liar: LyingHub, tmp_path: Path, name: str
) -> None:
    assert Pulled(liar, listed(sibling(name, b"{}"))).error is None
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


CHUNKED = reply(length=False).head + b"\r\nTransfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(b"x" * 10), "config.json comes with 10 bytes where the hub's list says 41"),
        (reply(b"x" * 100), "config.json comes with 100 bytes where the hub's list says 41"),
        (Reply(CHUNKED, b"1\r\nx\r\n0\r\n\r\n"), "file should be of size 41 but has size 1"),
    ],
)
def test_a_wrong_size_is_named_as_such_and_not_blamed_on_the_network(
    liar: LyingHub, answer: Reply, said: str
) -> None:
    pulled = Pulled(liar, Case(files={"config.json": answer}))
    assert isinstance(pulled.error, errors.ModelIncompleteError)
    assert "came 3 times with another content or size" in pulled.error.problem
    assert said in pulled.error.evidence[0]
    assert pulled.retries == 0


def test_a_file_that_drips_is_given_up_and_its_connection_ended(liar: LyingHub) -> None:
    pulled = Pulled(liar, Case(files={"model.safetensors": DRIP}))
    assert isinstance(pulled.error, errors.HubAnswerError)
    assert "less than 10.0 KiB a second" in pulled.error.problem
    assert pulled.error.exit_code == 68


def test_a_compressed_file_is_not_inflated(liar: LyingHub) -> None:
    error = Pulled(liar, Case(files={"config.json": COMPRESSED})).error
    assert isinstance(error, errors.HubAnswerError)
    assert "compressed config.json although it was asked not to" in error.problem


def test_an_index_larger_than_any_is_refused_before_it_is_fetched(liar: LyingHub) -> None:
    entry = sibling("model.safetensors.index.json", b"{}")
    error = Pulled(liar, listed({**entry, "size": LARGEST_JSON_BYTES + 1})).error
    assert isinstance(error, errors.HubAnswerError)
    assert "64.0 MiB are read at most" in error.problem


def test_a_plan_does_not_read_a_configuration_larger_than_any(
    liar: LyingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", liar.endpoint)
    info = listing_of(RIGHT)
    info["siblings"][0]["size"] = LARGEST_JSON_BYTES + 1
    liar.begin(Case(listing=reply(json.dumps(info).encode())))
    with pytest.raises(errors.HubAnswerError, match=r"config.json has 64.0 MiB by the hub's list"):
        find_shape(MODEL)


@pytest.mark.parametrize(
    "header",
    [
        "Retry-After: " + "9" * 400,
        "Retry-After: Wed, 21 Oct 9999 07:28:00 GMT",
        'ratelimit: "api";r=0;t=' + "9" * 400,
        "Retry-After: -1",
    ],
)
def test_a_pause_that_is_no_number_of_seconds_is_not_waited_for(
    liar: LyingHub, header: str
) -> None:
    pulled = Pulled(liar, Case(listing=reply(b"", header, status=429)))
    assert isinstance(pulled.error, errors.HubBusyError)


def test_what_is_not_asked_by_us_has_no_bounds_of_ours() -> None:
    answer = httpx.Response(200, content=b"[" * 100, request=httpx.Request("GET", "http://hub"))
    stream = answer.stream
    bounds.bound_answer(answer)
    assert answer.stream is stream


def test_what_is_left_behind_writes_nothing_beside_the_next_attempt() -> None:
    answer = bounds.Answer("config.json", 100)
    file = io.BytesIO()
    sink = bounds.Guarded(file, answer)
    sink.write(b"in time")
    answer.leave_behind()
    with pytest.raises(TransientError, match="came too slowly"):
        sink.write(b"too late")
    with pytest.raises(TransientError):
        sink.truncate()
    assert file.getvalue() == b"in time"
