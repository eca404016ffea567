"""Messages between supervisors: read back as they were, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.nodes import messages
from tests.unit.launcher.nodes.test_facts import LEADER


@pytest.mark.parametrize(
    "message",
    [
        messages.Hello(facts=LEADER),
        messages.Waiting(),
        messages.Start(),
        messages.Refused(problems=("one", "two")),
        messages.Moving(),
        messages.Ended(problem="gone\nfor good"),
        messages.Stopping(again=True),
        messages.GaveUp(problem=""),
    ],
)
def test_a_message_is_read_back(message: messages.Message) -> None:
    line = messages.encode(message)
    assert line.count(b"\n") == 1
    assert messages.decode(line) == message


@given(st.binary(max_size=200))
def test_nothing_else_is_a_message(line: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        messages.decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind": "start", "more": 1}', b'{"kind": "halt"}', b"{}", b"[]", b"null",
        b'{"kind": "hello", "facts": {"rank": 64, "nodes": 2}}',
        b'{"kind": "ended", "problem": "' + b"x" * 2001 + b'"}',
    ],
)  # fmt: skip
def test_what_is_nearly_a_message_is_none(line: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        messages.decode(line)
