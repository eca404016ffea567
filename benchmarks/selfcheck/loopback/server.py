"""A server whose times are known: for faults, and to hold measurements against. No model.

    with loopback(Schedule(first_seconds=0.2, gap_seconds=0.03, chunks=20)) as server:
        ...
        server.truth()

It speaks SGLang's streaming chat format, in a process of its own that ends when its standard input
does, so with the process that started it. It writes down when it wrote each answer's first and
last chunk: the monotonic clock is one for all processes of a machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import ssl
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import TypeAdapter

from benchmarks.load.target import Target
from benchmarks.selfcheck.loopback.protocol import Server, ServerProtocol
from benchmarks.selfcheck.loopback.schedule import Schedule, Truth
from benchmarks.selfcheck.loopback.stream import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRUTHS: TypeAdapter[list[Truth]] = TypeAdapter(list[Truth])
_END_TIMEOUT_SECONDS = 5.0
_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Loopback:
    """A loopback server that runs.

    Attributes:
        base_url: scheme, host and port.
        process_id: of the server.
        certificate: of the server, where it speaks TLS.
        urls: all addresses at which it listens, `base_url` the first.
    """

    base_url: str
    process_id: int
    certificate: Path | None = None
    urls: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        """To run a cell against."""
        return Target(self.base_url, MODEL)

    def truth(self) -> list[Truth]:
        """What it did for each request that it answered whole, in the order of their ends."""
        return _TRUTHS.validate_json(self._get("/loopback/truth"))

    def seen(self) -> int:
        """How many chat requests arrived, answered or not."""
        return int(self._get("/loopback/seen"))

    def forget(self) -> None:
        """Let it forget what it did, and count requests from 0 again."""
        self._get("/loopback/forget")

    def _get(self, path: str) -> bytes:
        verify = ssl.create_default_context(cafile=self.certificate) if self.certificate else True
        with httpx.Client(trust_env=False, verify=verify) as client:
            return client.get(f"{self.base_url}{path}").raise_for_status().content


@contextmanager
def loopback(
    schedule: Schedule | None = None,
    *,
    host: str = "127.0.0.1",
    certificate: tuple[Path, Path] | None = None,
    ports: int = 1,
) -> Iterator[Loopback]:
    """Start a loopback server; it has ended when the block is left.

    Args:
        schedule: its default; requests may change it.
        host: an address of this machine.
        certificate: files of a certificate and of its key, for TLS.
        ports: on so many it listens, as so many servers would.

    Raises:
        OSError: it did not start; its error stands above.
    """
    command = [sys.executable, "-m", "benchmarks.selfcheck.loopback.server", "--host", host]
    command += ["--schedule", (schedule or Schedule()).model_dump_json(), "--ports", str(ports)]
    if certificate is not None:
        command += ["--certificate", str(certificate[0]), "--key", str(certificate[1])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            opened = process.stdout.readline().split() if process.stdout else []
            if not opened:
                raise OSError("The loopback server did not start.")
            scheme = "http" if certificate is None else "https"
            shown = f"[{host}]" if ":" in host else host
            urls = tuple(f"{scheme}://{shown}:{int(port)}" for port in opened)
            yield Loopback(urls[0], process.pid, certificate[0] if certificate else None, urls)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_END_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


async def _serve(host: str, schedule: Schedule, tls: ssl.SSLContext | None, *, ports: int) -> None:
    loop = asyncio.get_running_loop()
    end = asyncio.Event()

    def on_input() -> None:
        if not os.read(0, 4096):
            end.set()

    server = Server(schedule)
    listening = [
        await loop.create_server(lambda: ServerProtocol(server), host, 0, backlog=_BACKLOG, ssl=tls)
        for _ in range(ports)
    ]
    opened = (str(one.sockets[0].getsockname()[1]) for one in listening)
    sys.stdout.write(" ".join(opened) + "\n")
    sys.stdout.flush()
    loop.add_reader(0, on_input)
    # What is there now stays: only what requests make is looked through.
    gc.collect()
    gc.freeze()
    await end.wait()
    # Not closed one by one: what still streams belongs to nobody.
    os._exit(0)


def main() -> None:
    """Serve until standard input closes; print the ports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--schedule", default="{}", help="JSON of a Schedule")
    parser.add_argument("--ports", type=int, default=1, help="listen on so many")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    asked = parser.parse_args()
    tls = None
    if asked.certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(asked.certificate, asked.key)
    asyncio.run(
        _serve(asked.host, Schedule.model_validate_json(asked.schedule), tls, ports=asked.ports)
    )


if __name__ == "__main__":
    main()
