"""`python -m clients` without a server."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from clients.cli.terminal import Conversation
from tests.unit.clients import wire
from tests.unit.clients.wire import Server, streamed

if TYPE_CHECKING:
    from pathlib import Path

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
    assert done.returncode == 1
    assert "No connection" in done.stderr
    assert done.stdout == ""
