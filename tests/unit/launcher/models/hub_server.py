"""A small model hub on loopback that speaks what huggingface_hub's client really speaks.

Metadata at /api/models/OWNER/NAME/revision/REVISION?blobs=True, files at
/OWNER/NAME/resolve/REVISION/FILE: small ones at once, large ones by a redirect to a second
address, the CDN, which knows ranges and must never see a token. It can be told to fail, and counts
what it sends.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

BLOCK_BYTES = 16 * 1024
# Kernel buffers hold what was sent and never arrived; with small ones the count is honest.
SEND_BUFFER_BYTES = 8 * 1024
LARGE_BYTES = 10_000


@dataclass(frozen=True)
class Fault:
    """An answer other than the file, or an end in the middle of it.

    Args:
        status: the answer's status; None to begin a proper answer.
        headers: of the answer.
        after_bytes: the connection is cut after so many of the body.
        flip_byte: at this place in the file, on the way.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    after_bytes: int | None = None
    flip_byte: int | None = None


class Stored:
    """A file with its hashes, which take time."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.sha256 = hashlib.sha256(content).hexdigest()
        with_size = b"blob %d\0" % len(content) + content
        self.git = hashlib.sha1(with_size, usedforsecurity=False).hexdigest()


@dataclass
class Repository:
    """Commits by their hash, each a mapping of names to files; refs by their name."""

    commits: dict[str, dict[str, Stored]]
    refs: dict[str, str]
    gated: bool = False

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)


class HubServer:
    """The hub. Faults are taken one by one, by the name of the file or "api"."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.token: str | None = None
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.sent_bytes: Counter[str] = Counter()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bytes_per_second: float | None = None
        self.ignores_ranges = False
        self.lock = threading.Lock()
        self._by_digest: dict[str, tuple[str, bytes]] = {}
        self._site = _serve(self, _Site)
        self._cdn = _serve(self, _Cdn)
        self.endpoint = f"http://127.0.0.1:{self._site.server_address[1]}"
        self.cdn = f"http://127.0.0.1:{self._cdn.server_address[1]}"

    def close(self) -> None:
        for server in (self._site, self._cdn):
            server.shutdown()
            server.server_close()

    def add(
        self,
        repository: str,
        files: dict[str, bytes],
        *,
        commit: str = "a" * 40,
        refs: tuple[str, ...] = ("main",),
        gated: bool = False,
    ) -> str:
        """Add a commit; returns its hash."""
        known = self.repositories.setdefault(repository, Repository({}, {}))
        known.commits[commit] = {name: Stored(content) for name, content in files.items()}
        known.refs.update(dict.fromkeys(refs, commit))
        known.gated = gated
        for name, file in known.commits[commit].items():
            self._by_digest[file.sha256] = (name, file.content)
        return commit

    def take_fault(self, name: str) -> Fault:
        with self.lock:
            return self.faults[name].pop(0) if self.faults[name] else Fault()

    def total_sent_bytes(self) -> int:
        with self.lock:
            return sum(self.sent_bytes.values())

    def content_of(self, digest: str) -> tuple[str, bytes] | None:
        return self._by_digest.get(digest)

    def gets(self, path: str) -> int:
        """How often a file or a page was asked for, by the end of its address."""
        return sum(method == "GET" and to.endswith(path) for method, to, _ in self.requests)


def is_large(name: str, content: bytes) -> bool:
    """Whether the hub keeps it with Git LFS."""
    return name.endswith((".safetensors", ".bin")) or len(content) > LARGE_BYTES


@contextmanager
def running_hub() -> Iterator[HubServer]:
    hub = HubServer()
    try:
        yield hub
    finally:
        hub.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else each body waits 40 ms for the headers to be acknowledged.
    disable_nagle_algorithm = True
    hub: HubServer

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().setup()

    def do_GET(self) -> None:
        with self.hub.lock:
            self.hub.requests.append((self.command, self.path, dict(self.headers)))
        try:
            self.answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815  # as the base class calls it

    def answer(self) -> None:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args

    def say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str | None, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.say(status, json.dumps({"error": message}).encode(), headers)

    def send_file(self, name: str, content: bytes, headers: dict[str, str], fault: Fault) -> None:
        begin = 0
        asked = self.headers.get("Range")
        if asked is not None and not self.hub.ignores_ranges:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(content):
                self.say(416, headers={"Content-Range": f"bytes */{len(content)}"})
                return
            where = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            headers = {**headers, "Content-Range": where}
        if fault.flip_byte is not None:
            at = fault.flip_byte
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        body = memoryview(content)[begin:]
        self.send_response(206 if begin else 200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        end = len(body) if fault.after_bytes is None else fault.after_bytes
        for start in range(0, min(end, len(body)), BLOCK_BYTES):
            block = body[start : min(start + BLOCK_BYTES, end)]
            self.wfile.write(block)
            with self.hub.lock:
                self.hub.sent_bytes[name] += len(block)
            if self.hub.bytes_per_second:
                time.sleep(len(block) / self.hub.bytes_per_second)
        if fault.after_bytes is not None:
            self.close_connection = True


class _Site(_Handler):
    """Metadata, small files, and the way to large ones."""

    def answer(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        parts = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if parts[:2] == ["api", "models"]:
            revision = parts[5] if len(parts) > 5 else "main"
            self._api("/".join(parts[2:4]), revision, token)
        elif len(parts) == 5 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], parts[4], token)
        else:
            self.refuse(404, None, "Not found")

    def _find(self, name: str, revision: str, token: str) -> tuple[Repository, str] | None:
        if self.hub.token is not None and token not in {"", self.hub.token}:
            self.refuse(401, None, "Invalid credentials in Authorization header")
            return None
        repository = self.hub.repositories.get(name)
        if repository is None:
            # As the real one does, which does not tell missing from private.
            self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
            return None
        commit = repository.commit_of(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return repository, commit

    def _api(self, name: str, revision: str, token: str) -> None:
        fault = self.hub.take_fault("api")
        if fault.status is not None:
            self.say(fault.status, b"{}", fault.headers)
            return
        found = self._find(name, revision, token)
        if found is None:
            return
        repository, commit = found
        siblings: list[dict[str, Any]] = []
        for path, file in repository.commits[commit].items():
            size = len(file.content)
            sibling: dict[str, Any] = {"rfilename": path, "size": size, "blobId": file.git}
            if is_large(path, file.content):
                sibling["lfs"] = {"sha256": file.sha256, "size": size, "pointerSize": 134}
            siblings.append(sibling)
        info = {"id": name, "modelId": name, "sha": commit, "siblings": siblings}
        gated = "manual" if repository.gated else False
        body = json.dumps(info | {"gated": gated, "private": False}).encode()
        self.say(200, body, {"Content-Type": "application/json"})

    def _file(self, name: str, revision: str, path: str, token: str) -> None:
        found = self._find(name, revision, token)
        if found is None:
            return
        repository, commit = found
        if repository.gated and token != self.hub.token:
            self.refuse(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted")
            return
        file = repository.commits[commit].get(path)
        if file is None:
            self.refuse(404, "EntryNotFound", f"{path} does not exist")
            return
        fault = self.hub.take_fault(path)
        if fault.status is not None:
            self.say(fault.status, b"", fault.headers)
            return
        headers = {"X-Repo-Commit": commit}
        if not is_large(path, file.content):
            headers |= {"ETag": f'"{file.git}"'}
            self.send_file(path, file.content, headers, fault)
            return
        digest = file.sha256
        if fault != Fault():
            # It happens at the CDN.
            self.hub.faults[digest].append(fault)
        headers |= {
            "X-Linked-ETag": f'"{digest}"',
            "X-Linked-Size": str(len(file.content)),
            "Location": f"{self.hub.cdn}/{digest}?expires={time.time() + 3600:.0f}",
        }
        self.say(302, b"", headers)


class _Cdn(_Handler):
    """Large files, by their hash, for whoever has the address."""

    def answer(self) -> None:
        digest = urllib.parse.urlsplit(self.path).path.strip("/")
        found = self.hub.content_of(digest)
        if found is None or "Authorization" in self.headers:
            self.refuse(400, None, "no such object, or a token that is not for us")
            return
        name, content = found
        self.send_file(name, content, {"ETag": f'"{digest}"'}, self.hub.take_fault(digest))


class _Server(ThreadingHTTPServer):
    # Killed clients leave connections in which nothing comes any more.
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        del request, client_address


def _serve(hub: HubServer, handler: Callable[..., _Handler]) -> ThreadingHTTPServer:
    bound = type("Handler", (cast(type, handler),), {"hub": hub})
    server = _Server(("127.0.0.1", 0), bound)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server
