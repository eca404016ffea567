"""Arms as servers, where that needs no real one."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.errors import ArmFailedError, UnreachableError
from benchmarks.plan import Arm
from benchmarks.running import servers
from benchmarks.running.servers import connect, is_alive, open_arm
from launcher.errors import StopError


class Unstoppable:
    """A server of the launcher's that does not end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        @contextlib.contextmanager
        def serving(*_: Any, **__: Any) -> Iterator[None]:
            try:
                yield
            except BaseException as error:
                raise StopError("It is still there.", action="Look.") from error
            raise StopError("It is still there.", action="Look.")

        monkeypatch.setattr(servers, "serving", serving)
        monkeypatch.setattr(servers, "_served", lambda *_: None)


def test_a_server_that_does_not_stop_is_an_arm_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Unstoppable(monkeypatch)

    with (
        pytest.raises(ArmFailedError, match="'a' did not stop"),
        open_arm(Arm(name="a"), {}, round_number=0, tag="t"),
    ):
        pass


def test_ctrl_c_is_not_forgotten_for_a_server_that_does_not_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Unstoppable(monkeypatch)

    with (
        pytest.raises(KeyboardInterrupt, match="still there"),
        open_arm(Arm(name="a"), {}, round_number=0, tag="t"),
    ):
        raise KeyboardInterrupt


@contextlib.contextmanager
def another_engine(status: int, body: bytes) -> Iterator[str]:
    """Lists its model, and says the same to all else."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.path == "/v1/models"
            text = b'{"object": "list", "data": [{"id": "m"}]}' if is_known else body
            self.send_response(200 if is_known else status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"no such page"), (200, b"<html>"), (200, b"[]"), (200, b"{}"), (501, b"")],
)
def test_another_engine_under_a_url_is_measured_without_what_only_sglang_says(
    status: int, body: bytes
) -> None:
    with another_engine(status, body) as url:
        served = connect(Arm(name="a", url=url), f"{url}/v1/")

        assert (served.target.base_url, served.target.model) == (url, "m")
        assert served.start.server_info is None
        assert served.start.versions == {}
        assert served.tokenizer is None
        assert served.cpu_seconds() is None
        assert served.flush_cache() is (status == 200)
        assert is_alive(served)

    assert not is_alive(served)
    with pytest.raises(UnreachableError):
        connect(Arm(name="a", url=url), url)
