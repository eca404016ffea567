"""A stand-in for the server, for what the real one cannot be made to do.

Usage: `python standin.py PORT BEHAVIOUR...`. It prints SGLang's own marker lines, answers `/ready`
and `/generate`, and then misbehaves as told:

- `exit-before-ready CODE`, `exit-after-ready CODE`: ends by itself;
- `never-ready`: prints, and never opens the port;
- `ignore-term`: SIGTERM does nothing;
- `chatter`: never ready, and prints as fast as it can;
- `refuse`: up, and generates nothing;
- `orphan`: leaves a grandchild in the session behind, which ignores SIGTERM;
- `import-error`: fails as a broken installation does;
- `print-secret`: prints what its `--config` file holds;
- `crash FILE TIMES CODE`: ends by itself soon after it was ready, in its first starts; FILE counts;
- `fail-to-start FILE TIMES`: ends with a word that no cause is known for, in those starts;
- `stall FILE`: generates nothing for as long as FILE exists, and says that it is up;
- `busy FILE`: the same, and it gives others their answers, and its log shows that;
- `mute FILE`: the same as `busy`, but no answer leaves it: the log alone shows batches that run;
- `lose-rank`: a child with the title of a scheduler ends, and the server goes on;
- `lose-rank-loading`: the same during the start, which does not go on then;
- `hang`: starts, and then nothing moves;
- `kill-me FILE`: writes its pid to FILE once it is ready;
- `keep-requests`: goes on after SIGTERM until it is told to abort its requests.

It stands by, as the engine does, where it is started to.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from launcher.engines.sglang.plugins.sharing import stand_by

MARKERS = (
    "[2026-11-23 15:14:20] Load weight begin. avail mem=20.52 GB",
    (
        "Multi-thread loading shards:  50% Completed | 1/2 [00:00<00:00,  3.84it/s]\r"
        "Multi-thread loading shards: 100% Completed | 2/2 [00:00<00:00,  3.84it/s]"
    ),
    "[2026-11-23 15:14:20] Load weight end. elapsed=0.31 s, type=Glm4MoeForCausalLM",
    "[2026-11-23 15:14:21] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 16384",
    "[2026-11-23 15:14:21] max_total_num_tokens=16384, max_running_requests=48, context_len=4096",
    "[2026-11-23 15:14:22] INFO:     Application startup complete.",
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Just enough of SGLang's routes for a readiness probe."""

    def do_GET(self) -> None:
        gives = sys.argv[2] == "busy"
        self._answer({"seconds_ago": 0.0 if gives else None})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/abort_request":
            self._answer({})
            if sys.argv[2] == "keep-requests":
                print("aborted", flush=True)
                os._exit(0)
            return
        while sys.argv[2] in {"stall", "busy", "mute"} and Path(sys.argv[3]).exists():
            time.sleep(0.05)
        if sys.argv[2] == "refuse":
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b"no text here")
            return
        self._answer({"text": "!", "meta_info": {"completion_tokens": 1}})

    def _answer(self, body: dict[str, object]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


def main() -> None:
    port, behaviour, *rest = sys.argv[1], *sys.argv[2:]
    if stand_by.is_asked_for():
        print("imported ahead", flush=True)
        stand_by.wait()
    misbehaves = behaviour in {"crash", "fail-to-start"} and _counts_up(Path(rest[0]), int(rest[1]))
    _before_the_log(behaviour, misbehaves=misbehaves)
    if behaviour == "print-secret":
        print(Path(rest[0]).read_text(), flush=True)
    print("\n".join(MARKERS), flush=True)
    _before_the_port(behaviour, rest)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("The server is fired up and ready to roll!", flush=True)
    if behaviour == "kill-me":
        Path(rest[0]).write_text(str(os.getpid()))
    if behaviour == "crash" and misbehaves:
        time.sleep(0.5)
        os._exit(int(rest[2]))
    while behaviour in {"busy", "mute"}:
        print("[2026-11-23 15:14:22] Decode batch, #running-req: 1", flush=True)
        time.sleep(0.05)
    if behaviour == "exit-after-ready":
        time.sleep(0.5)
        os._exit(int(rest[0]))
    time.sleep(60)


def _counts_up(counter: Path, times: int) -> bool:
    """One start more; whether it is among those that fail."""
    with counter.open("a", encoding="ascii") as file:
        file.write("x")
    return counter.stat().st_size <= times


def _before_the_log(behaviour: str, *, misbehaves: bool) -> None:
    if behaviour == "import-error":
        sys.exit("ModuleNotFoundError: No module named 'torch'")
    if behaviour == "fail-to-start" and misbehaves:
        sys.exit("RuntimeError: not today")
    if behaviour in {"ignore-term", "keep-requests"}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour == "hang":
        time.sleep(60)
    if behaviour.startswith("lose-rank"):
        seconds = "2" if behaviour == "lose-rank-loading" else "1"
        title = "sglang::scheduler_TP0"
        subprocess.Popen([title, seconds], executable="/bin/sleep")
    if behaviour == "orphan":
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import signal, time;signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
            ]
        )


def _before_the_port(behaviour: str, rest: list[str]) -> None:
    if behaviour == "exit-before-ready":
        print("RuntimeError: out of ideas", flush=True)
        os._exit(int(rest[0]))
    while behaviour == "chatter":
        print("Decode batch, #running-req: 1", flush=True)
    if behaviour in {"never-ready", "lose-rank-loading"}:
        time.sleep(60)


if __name__ == "__main__":
    main()
