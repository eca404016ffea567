"""A key, and a prompt, go to the run record's own server, and to nobody who took its port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from clients import (
    AsyncChatClient,
    ChatClient,
    NotThatServerError,
    RetryPolicy,
    RunRecordError,
    ServerGoneError,
    ServerLookupError,
    ServerStartingError,
    run_record_path,
)
from clients.http.endpoint import resolve_endpoint
from tests.unit.clients import wire
from tests.unit.clients.http.hostile import Send, hostile, whole
from tests.unit.clients.records import make_record, process, write_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "api-key-that-nobody-may-see"
ADMIN_KEY = "admin-key-that-nobody-may-see"
ANSWER = json.dumps(wire.completion("Hello.")).encode()
STREAM = wire.sse(wire.role(), wire.content("Hello."), wire.finish())
NEVER_AGAIN = RetryPolicy(retries=0)
# Listens where it is told, or on a port of its choice; answers each connection, forgets none.
LISTENER = """
import os, socket, subprocess, sys
body = sys.argv[2].encode()
listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.bind(("127.0.0.1", int(sys.argv[1])))
listening.listen()
if "child" in sys.argv:
    # The first process lets go of the socket: one of its children has it.
    if os.fork():
        listening.close()
        os.wait()
        sys.exit()
print(os.getpid(), listening.getsockname()[1], flush=True)
while True:
    connection, _ = listening.accept()
    data = connection.recv(65536)
    head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n"
    connection.sendall(head % len(body) + body)
    connection.close()
"""


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")


def answer(send: Send, stream: bool) -> None:  # noqa: FBT001 - as `Answer` has it
    send(whole(STREAM if stream else ANSWER))


def keep(record: dict[str, Any]) -> None:
    """Write a record and its keys."""
    folder = run_record_path(record["name"]).parent
    record["api_key_file"] = record["config"]["api_key_file"] = str(folder / "api.key")
    record["admin_key_file"] = str(folder / "admin.key")
    write_record(record)
    (folder / "api.key").write_text(KEY)
    (folder / "admin.key").write_text(ADMIN_KEY)


@contextlib.contextmanager
def child(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER, *words],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, 9)


@contextlib.contextmanager
def idle() -> Iterator[int]:
    """The pid of a living process that listens nowhere near."""
    with child("0", "") as running:
        assert running.stdout is not None
        running.stdout.readline()
        yield running.pid


def dead_process() -> dict[str, Any]:
    with idle() as pid:
        return process(pid)


def chat(name: str) -> object:
    with ChatClient(server=name, retry=NEVER_AGAIN) as client:
        return client.chat("Hi")


def stream(name: str) -> object:
    with ChatClient(server=name, retry=NEVER_AGAIN) as client, client.stream("Hi") as events:
        return events.reply()


def models(name: str) -> object:
    with ChatClient(server=name, retry=NEVER_AGAIN) as client:
        return client.models()


def abort(name: str) -> object:
    with ChatClient(server=name, retry=NEVER_AGAIN) as client:
        client.abort("r")
    return None


def asynchronous(act: Callable[[AsyncChatClient], Any]) -> Callable[[str], object]:
    def run(name: str) -> object:
        async def inside() -> object:
            async with AsyncChatClient(server=name, retry=NEVER_AGAIN) as client:
                return await act(client)

        return asyncio.run(inside())

    return run


ACTS: dict[str, Callable[[str], object]] = {
    "chat": chat,
    "stream": stream,
    "models": models,
    "abort": abort,
    "async chat": asynchronous(lambda client: client.chat("Hi")),
    "async stream": asynchronous(lambda client: client.stream("Hi").reply()),
    "async abort": asynchronous(lambda client: client.abort("r")),
}
GONE: dict[str, Callable[[], dict[str, Any]]] = {
    "killed": lambda: {"server": dead_process(), "supervisor": dead_process()},
    "another process of its number": lambda: {
        "server": process(start_ticks=5),
        "supervisor": process(start_ticks=5),
    },
    "another boot": lambda: {
        "server": process(boot_id="00000000-e44c-46ae-a18b-340dd69db4c9"),
        "supervisor": process(boot_id="00000000-e44c-46ae-a18b-340dd69db4c9"),
    },
    "no process": lambda: {"server": None, "supervisor": dead_process()},
    "a number that no process has": lambda: {
        "server": process(pid=os.getpid()) | {"pid": 1 << 40},
        "supervisor": dead_process(),
    },
}


@pytest.mark.parametrize("act", ["chat", "stream", "abort", "async chat"])
@pytest.mark.parametrize("how", GONE)
def test_who_has_the_port_of_a_server_that_is_gone_gets_nothing(how: str, act: str) -> None:
    with hostile(answer) as stranger:
        keep(make_record(stranger.port, **GONE[how]()))
        with pytest.raises(ServerGoneError) as caught:
            ACTS[act]("default")
        assert stranger.requests == []
    assert caught.value.exit_code == 81


def test_a_server_that_will_be_started_again_is_not_gone() -> None:
    keep(make_record(server=dead_process()))
    with pytest.raises(ServerStartingError, match="just ended"):
        ChatClient()


@pytest.mark.parametrize("act", ACTS)
def test_a_stranger_on_the_port_of_a_server_that_lives_gets_nothing(act: str) -> None:
    with idle() as pid, hostile(answer) as stranger:
        keep(make_record(stranger.port, server=process(pid)))
        with pytest.raises(NotThatServerError, match="another process than its own") as caught:
            ACTS[act]("default")
        assert stranger.requests == []
        assert KEY not in str(caught.value)
    assert caught.value.exit_code == 83


@pytest.mark.parametrize("act", ACTS)
def test_the_server_itself_gets_its_key(act: str) -> None:
    def served(send: Send, asked: bool) -> None:  # noqa: FBT001 - as `Answer` has it
        models = whole(b'{"data": [{"id": "nano"}]}')
        send(models if act == "models" else whole(STREAM if asked else ANSWER))

    with hostile(served) as server:
        keep(make_record(server.port))
        ACTS[act]("default")
        wanted = ADMIN_KEY if "abort" in act else KEY
        assert f"Bearer {wanted}".encode() in server.requests[0]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stranger_that_comes_later_gets_nothing(is_async: bool) -> None:  # noqa: FBT001
    """The client was in use when the server died; then the server comes back."""

    async def inside() -> None:
        client = AsyncChatClient(retry=NEVER_AGAIN)
        await client.chat("Hi")
        running.kill()
        running.wait()
        with hostile_at(port) as stranger:
            with pytest.raises(NotThatServerError, match="has ended"):
                await client.chat("Hi")
            assert stranger.requests == []
        with child(str(port), ANSWER.decode()) as again:
            listens(again)
            keep(make_record(port, server=process(again.pid)))
            await client.chat("Hi")
        await client.close()

    with child("0", ANSWER.decode()) as running:
        port = listens(running)
        keep(make_record(port, server=process(running.pid)))
        if is_async:
            asyncio.run(inside())
            return
        with ChatClient(retry=NEVER_AGAIN) as client:
            client.chat("Hi")
            running.kill()
            running.wait()
            with hostile_at(port) as stranger:
                with pytest.raises(NotThatServerError, match="has ended"):
                    client.chat("Hi")
                assert stranger.requests == []
            with child(str(port), ANSWER.decode()) as again:
                listens(again)
                keep(make_record(port, server=process(again.pid)))
                client.chat("Hi")


@contextlib.contextmanager
def hostile_at(port: int) -> Iterator[Any]:
    with hostile(answer, port=port) as server:
        yield server


def listens(running: subprocess.Popen[str]) -> int:
    assert running.stdout is not None
    return int(running.stdout.readline().split()[1])


def test_a_connection_is_checked_after_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first look and the connection the port may change hands."""
    with idle() as pid, hostile(answer) as stranger:
        keep(make_record(stranger.port))
        client = ChatClient(retry=NEVER_AGAIN)
        own = client._flows.endpoint.own
        assert own is not None
        looks = []

        def look() -> None:
            looks.append(1)
            if len(looks) > 1:
                changed = own._record.model_copy(
                    update={"server": own._record.server.model_copy(update=process(pid))}  # type: ignore[union-attr]
                )
                object.__setattr__(own, "_record", changed)
                own._paths.clear()
                check()

        check = own.check
        keep(make_record(stranger.port, server=process(pid)))
        monkeypatch.setattr(own, "check", look)
        with client, pytest.raises(NotThatServerError):
            client.chat("Hi")
        assert len(looks) == 2
        assert stranger.requests == []


def test_a_socket_of_another_process_of_the_server_is_its_own() -> None:
    with child("0", ANSWER.decode(), "child") as running:
        port = listens(running)
        keep(make_record(port, server=process(running.pid)))
        chat("default")


def test_a_key_of_the_environment_is_held_back_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECSERVE_API_KEY", KEY)
    with idle() as pid, hostile(answer) as stranger:
        write_record(make_record(stranger.port, server=process(pid)))
        with pytest.raises(NotThatServerError):
            chat("default")
        assert stranger.requests == []
        # An address and a key that the user himself gives are his own business.
        with ChatClient(stranger.url, model="m") as client:
            client.chat("Hi")
        assert KEY.encode() in stranger.requests[0]


@pytest.mark.parametrize("command", ["ask", "check"])
@pytest.mark.parametrize("how", ["dead", "stranger"])
def test_the_commands_hold_it_back_too(command: str, how: str) -> None:
    words = ["ask", "Hi"] if command == "ask" else ["check", "--only", "usage"]
    with idle() as pid, hostile(answer) as stranger:
        changed: dict[str, Any] = {"server": process(pid)}
        if how == "dead":
            changed = {"server": dead_process(), "supervisor": dead_process()}
        keep(make_record(stranger.port) | changed)
        done = subprocess.run(
            [sys.executable, "-m", "clients", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert stranger.requests == []
    code = {"check": 3, "ask": 81 if how == "dead" else 83}[command]
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert KEY not in done.stderr
    assert "Traceback" not in done.stderr


FORGED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "of another name": lambda record: record | {"name": "other"},
    "another loopback address": lambda record: (
        record | {"base_url": record["base_url"].replace("127.0.0.1", "127.0.0.2")}
    ),
    "another host": lambda record: record | {"base_url": "http://192.0.2.1:80"},
    "another port": lambda record: record | {"base_url": "http://127.0.0.1:9"},
    "with a password": lambda record: record | {"base_url": "http://a:b@127.0.0.1:8000"},
    "with a path": lambda record: record | {"base_url": record["base_url"] + "/x"},
    "without a configuration": lambda record: record | {"config": None},
    "a host that is none": lambda record: record | {"config": {"host": 5, "port": 8000}},
    "another key file": lambda record: record | {"api_key_file": "/etc/shadow"},
    "another admin key file": lambda record: record | {"admin_key_file": "/etc/shadow"},
    "a pid that is text": lambda record: record | {"server": process() | {"pid": "7"}},
    "a number that is none": lambda record: record | {"server": process() | {"pid": 1.5}},
}


@pytest.mark.parametrize("how", FORGED)
def test_a_record_that_cannot_be_true_is_refused(how: str) -> None:
    write_record(FORGED[how](make_record()), "default")
    with pytest.raises(RunRecordError):
        resolve_endpoint(None, None, server="default", environ={})


@pytest.mark.parametrize("mode", [0o602, 0o620])
def test_a_key_file_that_others_write_is_refused(mode: int) -> None:
    keep(make_record())
    (run_record_path().parent / "api.key").chmod(mode)
    with pytest.raises(ServerLookupError, match="Cannot read the API key"):
        ChatClient()
