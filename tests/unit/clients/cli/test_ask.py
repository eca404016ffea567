"""`python -m clients` without a server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from clients import errors, run_record_path
from clients.cli.ask import EXIT_CODES
from clients.cli.terminal import Conversation
from tests.unit.clients import wire
from tests.unit.clients.http.loopback import Write, serving
from tests.unit.clients.records import RECORD
from tests.unit.clients.wire import Json, Server, streamed

ANSWER = wire.sse(
    wire.role(), wire.reasoning("Hm."), wire.content("[b]Hi"), wire.finish(), wire.usage()
)


def test_a_chat_keeps_its_history_and_saves_it(tmp_path: Path) -> None:
    server = Server(streamed(ANSWER))
    out = io.StringIO()
    chat = Conversation(server.client(), {}, console=Console(file=out))
    chat.command("/system Be brief.")
    chat.command("/think off")
    chat.answer("Hello")
    assert server.body["chat_template_kwargs"] == {"enable_thinking": False}
    assert server.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "Hm." in out.getvalue()
    assert "[b]Hi" in out.getvalue()
    assert "7 tokens" in out.getvalue()
    chat.command(f"/save {tmp_path / 'chat.json'}")
    saved = json.loads((tmp_path / "chat.json").read_text(encoding="utf-8"))
    assert [message["role"] for message in saved] == ["system", "user", "assistant"]


def test_ask_without_a_server_fails_with_what_to_do() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        command = [sys.executable, "-m", "clients", "ask", "--base-url", url, "Hi"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 83
    assert "No connection" in done.stderr
    assert done.stdout == ""


def answering(
    body: Json, *, asked: list[str] | None = None
) -> contextlib.AbstractContextManager[str]:
    def answer(write: Write, request: bytes) -> None:
        if asked is not None:
            asked.append(json.loads(request)["messages"][-1]["content"])
        write(json.dumps(body).encode())

    return serving(answer, content_type="application/json")


def run_ask(
    url: str, *arguments: str, given: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        "-m",
        "clients",
        "ask",
        "--base-url",
        url,
        "--model",
        "m",
        *arguments,
    ]
    return subprocess.run(
        command, input=given, capture_output=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    ("arguments", "given", "question"),
    [
        (["Review this"], b"a diff\n", "Review this\n\na diff"),
        (["Hello"], b"", "Hello"),
        ([], b"Hello\n", "Hello"),
        (["-"], b"Hello", "Hello"),
    ],
)
def test_the_argument_and_what_is_piped_in_are_one_question(
    arguments: list[str], given: bytes, question: str
) -> None:
    asked: list[str] = []
    with answering(wire.completion("Fine."), asked=asked) as url:
        done = run_ask(url, *arguments, given=given)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Fine.\n", b"")
    assert asked == [question]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (wire.completion("", thoughts="s3cret thought"), b"all of it came as reasoning"),
        (wire.completion("", thoughts="s3cret", finish_reason="length"), b"cut off"),
    ],
)
def test_reasoning_is_never_printed_as_the_answer(body: Json, words: bytes) -> None:
    with answering(body) as url:
        done = run_ask(url, "Hi")
        as_json = run_ask(url, "--json", "Hi")
    assert (done.returncode, done.stdout) == (87, b"")
    assert words in done.stderr
    assert b"s3cret" not in done.stderr
    assert as_json.returncode == 87
    assert json.loads(as_json.stdout)["reasoning"].startswith("s3cret")


def test_an_answer_that_was_cut_off_is_printed_and_said_to_be() -> None:
    with answering(wire.completion("One, two", finish_reason="length")) as url:
        done = run_ask(url, "Count")
    assert (done.returncode, done.stdout) == (0, b"One, two\n")
    assert b"cut off" in done.stderr


ACTED_ON = "\x1b[31mRED\x1b]0;title\x07\x1b[2J\x9b31m\u202e\r\x08\x00x"


def test_into_a_pipe_the_answer_goes_as_it_came() -> None:
    with answering(wire.completion(ACTED_ON)) as url:
        done = run_ask(url, "Hi")
        as_json = run_ask(url, "--json", "Hi")
    assert done.stdout == ACTED_ON.encode() + b"\n"
    assert json.loads(as_json.stdout)["content"] == ACTED_ON


@pytest.mark.parametrize("option", [None, "--json"])
def test_a_terminal_is_shown_nothing_that_it_acts_on(option: str | None) -> None:
    with answering(wire.completion(ACTED_ON)) as url:
        ours, theirs = pty.openpty()
        words = ["ask", "--base-url", url, "--model", "m", "Hi", *filter(None, [option])]
        with subprocess.Popen(
            [sys.executable, "-m", "clients", *words], stdin=subprocess.DEVNULL, stdout=theirs
        ) as asking:
            os.close(theirs)
            shown = b""
            # A terminal whose other side has gone is an error to read.
            with contextlib.suppress(OSError):
                while part := os.read(ours, 65536):
                    shown += part
            os.close(ours)
        assert asking.returncode == 0
    text = shown.decode().replace("\r\n", "\n")
    assert "RED" in text
    assert all(character == "\n" or character.isprintable() for character in text)


@pytest.mark.parametrize(
    ("arguments", "given", "code"),
    [
        ([], b"", 2),
        ([], b"\xff\xfe", 2),
        (["--max-tokens", "0", "Hi"], b"", 2),
        (["--base-url", "nonsense", "Hi"], b"", 2),
        (["Hi"], b"", 85),
    ],
)
def test_each_cause_has_its_exit_code(arguments: list[str], given: bytes, code: int) -> None:
    with answering({"object": "not a completion"}) as url:
        done = run_ask(url, *arguments, given=given)
    assert (done.returncode, done.stdout) == (code, b"")
    assert b"Traceback" not in done.stderr


def test_a_wrong_name_is_not_a_server_that_starts(state_home: Path) -> None:
    for name, state in (("slow", "STARTING"), ("ill", "UNHEALTHY")):
        path = run_record_path(name)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**RECORD, "name": name, "state": state}))
    command = [sys.executable, "-m", "clients", "ask", "Hi", "--name"]
    codes = {
        name: subprocess.run(
            [*command, name], stdin=subprocess.DEVNULL, capture_output=True, check=False
        ).returncode
        for name in ("none", "slow", "ill")
    }
    assert codes == {"none": 81, "slow": 82, "ill": 82}
    assert state_home.exists()


def test_every_exit_code_of_an_error_is_in_the_help_and_in_the_docs() -> None:
    codes = {
        value.exit_code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.ClientError)
    }
    page = Path("docs/clients.md").read_text(encoding="utf-8")
    for code in codes:
        assert re.search(rf"^ +{code}  ", EXIT_CODES, re.MULTILINE)
        assert f"| {code} |" in page


def test_whoever_reads_one_line_only_breaks_nothing() -> None:
    with answering(wire.completion("line\n" * 100_000)) as url:
        command = [sys.executable, "-m", "clients", "ask", "--base-url", url, "--model", "m", "Hi"]
        asking = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert asking.stdout is not None
        assert asking.stderr is not None
        assert asking.stdout.readline() == b"line\n"
        asking.stdout.close()
        assert asking.stderr.read() == b""
        asking.stderr.close()
        asking.wait()
