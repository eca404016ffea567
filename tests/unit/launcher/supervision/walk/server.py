"""The server of the walk: a stand-in that stops at whichever step it is told to.

Usage: `python -I -S server.py PORT FOLDER SECRETS`. What it does is decided by files in FOLDER, so
that a case can change its mind while it runs:

- `hold-STEP`: goes no further than that step of its start (see `STEPS`) while the file is there;
- `broken`: fails to start;
- `stall`: generates nothing;
- `inflight`: a request is in flight, so SIGTERM drains until it is aborted;
- `deaf`: an abort changes nothing.

It has a child with a scheduler's title, a shared memory segment, and wants the admin key, which it
reads from the file that its launcher writes, before it aborts anything.
"""

from __future__ import annotations

import http.server
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time

STEPS = {
    "import": "",
    "load": "[2026-11-23 15:14:20] Load weight begin. avail mem=20.52 GB",
    "cache": "[2026-11-23 15:14:21] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 16384",
    "port": "[2026-11-23 15:14:22] INFO:     Application startup complete.",
}
POLL_SECONDS = 0.02


def main() -> None:
    port, folder, secrets = int(sys.argv[1]), *sys.argv[2:]

    def told(what: str) -> bool:
        return os.path.exists(f"{folder}/{what}")  # noqa: PTH110  # pathlib takes as long as all else

    if told("broken"):
        sys.exit("RuntimeError: not today")
    with open(f"{folder}/pids", "a", encoding="ascii") as file:  # noqa: PTH123  # as above
        file.write(f"{os.getpid()}\n")
    with open(secrets, encoding="utf-8") as file:  # noqa: PTH123  # as above
        keys = json.load(file)
    _share(f"/dev/shm/specserve_walk_{os.getpid()}")  # noqa: S108  # a segment's own place
    child = subprocess.Popen(["sglang::scheduler_TP0", "60"], executable="/bin/sleep")  # noqa: S607  # it is a title
    draining = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: draining.set())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.path == "/abort_request":
                if self.headers["Authorization"] != f"Bearer {keys['admin-api-key']}":
                    self.answer(401)
                    return
                self.answer(200)
                if not told("deaf") and told("inflight"):
                    os.unlink(f"{folder}/inflight")  # noqa: PTH108  # as above
                return
            while told("stall") or told("hold-token"):
                time.sleep(POLL_SECONDS)
            self.answer(200, {"text": "!", "meta_info": {"completion_tokens": 1}})

        def answer(self, status: int, body: object = None) -> None:
            payload = json.dumps(body or {}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    served = False
    steps = list(STEPS)
    while not (draining.is_set() and not told("inflight")):
        if steps and not told(f"hold-{steps[0]}"):
            print(STEPS[steps.pop(0)], flush=True)
        elif not steps and not served:
            served = True
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            print("The server is fired up and ready to roll!", flush=True)
        if child.poll() is not None:
            os._exit(9)
        time.sleep(POLL_SECONDS)
    child.kill()
    with open(f"{folder}/ended-itself", "w", encoding="ascii"):  # noqa: PTH123  # as above
        os._exit(0)


def _share(name: str) -> None:
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    os.ftruncate(descriptor, 4096)
    kept.append(mmap.mmap(descriptor, 4096))
    os.close(descriptor)


kept: list[mmap.mmap] = []

if __name__ == "__main__":
    main()
