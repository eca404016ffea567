"""A hub that lies: drawn answers to the list of files and to each file, on loopback.

A case is carried out by a real pull. `flaw` says what was wrong with the outcome. The bounds are
set small, so that they are met in no time; the server counts what it could send.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import socketserver
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from launcher.errors import LauncherError
from launcher.models.download.hub import Hub
from launcher.models.download.pull import pull
from launcher.models.download.request import PullRequest, ignore
from tests.unit.launcher.models.hub_models import safetensors

MODEL = "owner/model"
COMMIT = "a" * 40
# More than any bound, and little enough for a test.
ENDLESS_BYTES = 24 * 2**20
ENDLESS_SECONDS = 20.0
GOES_ON_SECONDS = 3.0
SMALL = {
    "launcher.models.download.retries.FIRST_PAUSE_SECONDS": 0.001,
    "launcher.models.download.hub.FIRST_PAUSE_SECONDS": 0.001,
    "launcher.models.download.hub.METADATA_TIMEOUT_SECONDS": 0.6,
    "launcher.models.download.hub.LONGEST_LISTING_SECONDS": 1.0,
    "launcher.models.download.hub.LARGEST_LISTING_BYTES": 2**20,
    "launcher.models.download.hub.LONGEST_RETRY_AFTER_SECONDS": 0.01,
    "launcher.models.download.retries.LONGEST_RETRY_AFTER_SECONDS": 0.01,
    "launcher.models.download.bounds.WINDOW_SECONDS": 0.3,
    "huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT": 0.6,
}


@dataclass(frozen=True)
class Reply:
    """What goes over the wire.

    Args:
        head: status line and headers, without the empty line.
        body: what follows.
        then: nothing, or "endless" bytes, or one a tenth of a second: "drip"; "drip-head" is that
            within the headers, and "informs" is a 1xx without end.
    """

    head: bytes
    body: bytes = b""
    then: str = ""


@dataclass(frozen=True)
class Case:
    """The answer to the list of files, and to each file; None is the right one."""

    listing: Reply | None = None
    files: Mapping[str, Reply] | None = None
    content: Mapping[str, bytes] | None = None


def reply(body: bytes = b"", *headers: str, status: int = 200, length: bool = True) -> Reply:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} Said", "Connection: close", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return Reply("\r\n".join(lines).encode("latin-1", "replace"), body)


# --- a model in the right form -----------------------------------------------------------------

RIGHT: dict[str, bytes] = {
    "config.json": b'{"architectures": ["Glm4MoeForCausalLM"]}',
    "tokenizer.json": b"{}",
    "model.safetensors": safetensors(50_000),
}


def sibling(name: str, content: bytes) -> dict[str, Any]:
    """A file as the hub lists it."""
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git}
    if name.endswith(".safetensors"):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
    return entry


def listing_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The list of a commit."""
    siblings = [sibling(name, content) for name, content in files.items()]
    return {"id": MODEL, "sha": COMMIT, "siblings": siblings}


# --- what is drawn -----------------------------------------------------------------------------

_NAMES = st.sampled_from(
    [
        *("../../evil.json", "/etc/evil.json", "..", ".", "", "a\0.json", "a\\b.json", "a\n.json"),
        *("\x1b[2J.json", "x" * 300 + ".json", "x" * 5000, "config.json", "con\u202efig.json"),
        *("\ud800.json", ".hidden.json", "a/b.json", "a//b.json", "model.safetensors.index.json"),
        *("specserve.lock", "%2e%2e%2fevil.json", "a\r.json", "~root.json", "-rf.json"),
    ]
)
_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, -1, 0, 2**63, 10**30, 1.5, "12", "", [], {}, "x" * 70_000, "\x1b[31m"),
        *("g" * 40, "A" * 40, "a" * 39, "a" * 64, float("nan"), float("inf"), "\ud800"),
    ]
)


@st.composite
def listings(draw: st.DrawFn) -> Reply:
    """A list of files with something wrong in it."""
    info: Any = listing_of(RIGHT)
    what = draw(st.sampled_from(["field", "entry", "names", "many", "twice", "shape"]))
    if what == "field":
        info[draw(st.sampled_from(["sha", "siblings", "id", "cardData", "config", "tags"]))] = draw(
            _ODD
        )
    elif what == "entry":
        key = draw(st.sampled_from(["rfilename", "size", "blobId", "lfs"]))
        draw(st.sampled_from(info["siblings"]))[key] = draw(_ODD)
    elif what == "names":
        name, content = draw(_NAMES), draw(st.sampled_from([b"{}", b"evil"]))
        info["siblings"].append(sibling(name, content))
    elif what == "many":
        entry = json.dumps(sibling("f", b""))
        body = (
            f'{{"id": "m", "sha": "{COMMIT}", "siblings": ['
            + ", ".join(entry.replace('"f"', f'"f{n}.json"') for n in range(draw(_COUNTS)))
            + "]}"
        )
        return reply(body.encode())
    elif what == "twice":
        info["siblings"].append(sibling("config.json", b"another"))
    else:
        info = draw(_ODD)
    return reply(json.dumps(info).encode())


_COUNTS = st.sampled_from([0, 1, 3_000, 60_000, 100_000])
_BODIES = st.sampled_from(
    [
        *(b"", b"null", b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900, b"\xff\xfe"),
        *(b"<html>", b'{"id": ' + b"9" * 5000 + b"}", b"\x1f\x8b\x08", b"0" * 3_000_000, b"{}"),
    ]
)
_BOMB = gzip.compress(b"[" * 30_000_000)
_HEADERS = st.sampled_from(
    [
        *("Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: identity"),
        *("Retry-After: 99999999999", "Retry-After: -1", "Retry-After: " + "9" * 400),
        *(
            "Retry-After: Wed, 21 Oct 9999 07:28:00 GMT",
            "Retry-After: x",
            "X-Error-Code: GatedRepo",
        ),
        *('ratelimit: "api";r=0;t=' + "9" * 400, "X-Error-Message: \x1b[2J", "Location: /"),
        *("Content-Length: -5", "Content-Length: x", "Content-Length: 99999999999999999999"),
        *("Transfer-Encoding: chunked", "X: " + "y" * 150_000, "Content-Range: bytes x", ": "),
        *("X-Error-Code: RepoNotFound", "X-Error-Code: \x00", "Link: " + "<" * 5000, "X Y: 1"),
    ]
)
_STATUSES = st.sampled_from(
    [
        *(100, 101, 103, 200, 201, 204, 206, 300, 301, 304, 307, 308, 400, 401, 403, 404, 408),
        *(410, 416, 418, 429, 451, 500, 502, 503, 504, 507, 599, 999),
    ]
)
_PLACES = st.sampled_from(
    [
        *("/loop", "{self}", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1:1/x"),
        *("http://[::1", "//", "", "javascript:1", "http://a b/", "\x1b[2J", "/" + "x" * 80_000),
    ]
)


@st.composite
def wires(draw: st.DrawFn) -> Reply:  # noqa: PLR0911  # one for each kind
    """An answer that is wrong as HTTP, whatever it is an answer to."""
    kind = draw(
        st.sampled_from(["status", "redirect", "body", "bomb", "length", "endless", "noise"])
    )
    if kind == "status":
        headers = draw(st.lists(_HEADERS, max_size=3))
        return reply(draw(_BODIES), *headers, status=draw(_STATUSES), length=draw(st.booleans()))
    if kind == "redirect":
        to = f"Location: {draw(_PLACES)}"
        return reply(b"x" * 10, to, status=draw(st.sampled_from([301, 302, 303, 307, 308])))
    if kind == "body":
        return reply(draw(_BODIES), *draw(st.lists(_HEADERS, max_size=1)))
    if kind == "bomb":
        name = draw(st.sampled_from(["gzip", "deflate", "gzip, gzip", "GZIP", "br", "zstd"]))
        body = _BOMB if "gzip" in name.lower() else zlib.compress(b"[" * 30_000_000)
        return reply(body, f"Content-Encoding: {name}", status=draw(st.sampled_from([200, 404])))
    if kind == "length":
        short = reply(b"x" * 100, length=False)
        return Reply(
            short.head + b"\r\nContent-Length: %d" % draw(st.sampled_from([1, 200, 10**12])),
            short.body,
        )
    if kind == "endless":
        then = draw(st.sampled_from(["endless", "endless", "drip", "drip-head", "informs"]))
        head = reply(length=False, status=draw(st.sampled_from([200, 200, 302, 404]))).head
        return Reply(head, draw(st.sampled_from([b"", b"[", b"["])), then)
    return Reply(draw(st.binary(max_size=50)), draw(st.binary(max_size=50)))


_INDICES = st.sampled_from(
    [
        *(b"[" * 50_000, b"{}", b"null", b'{"weight_map": {"a": "../../evil.safetensors"}}'),
        *(b'{"weight_map": {"a": 1}}', b'{"weight_map": {"a": "model.safetensors"}}', b"\xff"),
        *(b'{"weight_map": {"a": "' + b"x" * 300 + b'"}}', b'{"weight_map": {"a": "\\u0000"}}'),
    ]
)
_WEIGHTS = st.sampled_from(
    [
        *(b"", b"\xff" * 8, b"\x08\0\0\0\0\0\0\0" + b"[" * 8, b"\x02\0\0\0\0\0\0\0{}"),
        b"\x40\x9c\0\0\0\0\0\0" + b"[" * 40_000,
        b'\x20\0\0\0\0\0\0\0{"a": {"data_offsets": [0, NaN]}}',
        b'\x22\0\0\0\0\0\0\0{"a": {"data_offsets": [0, 1e999]}}',
    ]
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Where it lies, and how."""
    where = draw(st.sampled_from(["listing", "listing", "file", "content"]))
    if where == "listing":
        return Case(listing=draw(st.one_of(listings(), wires())))
    if where == "file":
        name = draw(st.sampled_from(sorted(RIGHT)))
        return Case(files={name: draw(wires())})
    content = dict(RIGHT)
    if draw(st.booleans()):
        content["model.safetensors.index.json"] = draw(_INDICES)
    else:
        content["model.safetensors"] = draw(_WEIGHTS)
    return Case(content=content)


# --- how it is carried out ---------------------------------------------------------------------


@dataclass
class Tally:
    """What a case sent, and how many of its bodies without end still go on."""

    sent_bytes: int = 0
    going_on: int = 0


class LyingHub:
    """The hub of one case at a time; counts what it could send."""

    def __init__(self) -> None:
        self.case = Case()
        self.tally = Tally()
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def begin(self, case: Case) -> None:
        self.case, self.tally = case, Tally()

    def answer(self, path: str) -> Reply:
        content = self.case.content or RIGHT
        if path.startswith("/api/") or path == "/loop":
            right = reply(json.dumps(listing_of(content)).encode())
            return self.case.listing or right
        name = path.partition("?")[0].rpartition("/")[2]
        if self.case.files and name in self.case.files:
            return self.case.files[name]
        return reply(content[name]) if name in content else reply(status=404)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        del request, client_address


def _handler_of(hub: LyingHub) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.tally = tally = hub.tally
            asked = self.rfile.readline(65_536).split(b" ")
            while self.rfile.readline(65_536).strip():
                pass
            path = asked[1].decode("latin-1") if len(asked) > 1 else "/"
            said = hub.answer(path)
            head = said.head.replace(b"{self}", path.encode("latin-1"))
            self._send(head + (b"" if said.then in {"drip-head", "informs"} else b"\r\n\r\n"))
            self._send(said.body)
            if said.then in {"endless", "drip"}:
                tally.going_on += 1
            try:
                self._go_on(said.then)
            except OSError:
                tally.going_on -= said.then in {"endless", "drip"}

        def _go_on(self, then: str) -> None:
            deadline = time.monotonic() + ENDLESS_SECONDS
            block, pause = {
                "endless": (b"[" * 65_536, 0.0),
                "drip": (b"[", 0.1),
                "drip-head": (b"x", 0.1),
                "informs": (b"\r\n\r\nHTTP/1.1 103 Early\r\nx: y", 0.01),
            }.get(then, (b"", 0.0))
            sent = 0
            while block and time.monotonic() < deadline and sent < ENDLESS_BYTES:
                self._send(block)
                sent += len(block)
                time.sleep(pause)

        def _send(self, block: bytes) -> None:
            self.wfile.write(block)
            self.tally.sent_bytes += len(block)

    return Handler


@contextmanager
def lying_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingHub]:
    """The hub, and small bounds for those who ask it."""
    for name, value in SMALL.items():
        monkeypatch.setattr(name, value, raising=False)
    hub = LyingHub()
    try:
        yield hub
    finally:
        hub.close()


def flaw(hub: LyingHub, case: Case, folder: Path) -> str | None:
    """Carry out a case; what was wrong with the outcome, or None."""
    hub.begin(case)
    before = _around(folder)
    target = folder / "model"
    try:
        pull(PullRequest(MODEL, target=target), Hub(hub.endpoint), ignore)
    except LauncherError as error:
        if not 10 <= error.exit_code <= 68 or not error.action:
            return f"exit code {error.exit_code} is not documented"
    except Exception as error:  # noqa: BLE001  # that is what is looked for
        return f"{type(error).__name__}: {str(error)[:200]}"
    deadline = time.monotonic() + GOES_ON_SECONDS
    while hub.tally.going_on and time.monotonic() < deadline:
        time.sleep(0.01)
    if hub.tally.going_on:
        return f"it goes on to take an answer without end: {hub.tally.sent_bytes:,} bytes so far"
    if left := _around(folder) - before:
        return f"it wrote {sorted(left)[:3]}"
    return None


def _around(folder: Path) -> set[str]:
    """What lies beside the model and our own state."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in {"model", "xdg_state_home", "hub"}
    }
