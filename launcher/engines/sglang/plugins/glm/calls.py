"""GLM-4.5's tool calls, read from text as it comes. Pure.

    <tool_call>NAME
    <arg_key>KEY</arg_key>
    <arg_value>VALUE</arg_value>
    </tool_call>

One machine for whole answers and streams: the text may come in pieces cut anywhere, and the events,
added up, are the same. A call begins to be given out when its first value begins, or at its end;
text goes on from there as it comes, other values when they are whole. What cannot be read is
content. What was cut off is a call whose arguments do not end, as OpenAI's API has it too ("the
model does not always generate valid JSON", chat completions, `function.arguments`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from launcher.engines.sglang.plugins.glm.events import (
    Arguments,
    CallEnded,
    CallStarted,
    Content,
    Event,
    partial_length,
)
from launcher.engines.sglang.plugins.glm.schema import Allowed, allowed_for
from launcher.engines.sglang.plugins.glm.values import (
    DECIDING_CHARACTERS,
    is_object,
    may_be_json,
    quoted,
    read_object,
    to_json,
)

CALL: Final = "<tool_call>"
CALL_END: Final = "</tool_call>"
KEY: Final = "<arg_key>"
KEY_END: Final = "</arg_key>"
VALUE: Final = "<arg_value>"
VALUE_END: Final = "</arg_value>"

# The model at times writes a line break as the two characters that stand for it.

HEAD: Final = re.compile(r"<tool_call>((?:\s|\\n)*)([^\s<{\\]*)((?:\s|\\n)*)")
# vLLM issue 54971: the closing tag of a key comes twice.
_KEY_GAP: Final = re.compile(r"(?:\s|\\n|</arg_key>)*")
_MARK: Final = re.compile("|".join((KEY, CALL_END, CALL, VALUE_END)))
_ANY: Final = re.compile("|".join((KEY, KEY_END, VALUE, VALUE_END, CALL, CALL_END)))
_NEXT: Final = re.compile("|".join((KEY, CALL_END, CALL)))
_LINE_BREAKS: Final = "\r\n"


class CallParser:
    """Takes an answer, gives its content and its calls.

    Args:
        schemas: JSON schema of the arguments of each tool that was offered, by its name.
    """

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas
        self._allowed: dict[tuple[str, str], Allowed] = {}
        self._text = ""  # what has come and is not decided on
        self._seen = 0  # how far `_text` was searched
        self._marked = 0  # how far it was searched for what follows a value
        self._state: Callable[[list[Event]], bool] = self._in_content
        self._space: list[str] = []  # white space that goes if a call follows
        self._written = False  # whether there was content
        self._called = False  # whether there was a call
        self._name = ""
        self._started = False  # whether the present call was given out
        self._members = 0
        self._value = Allowed()
        self._open = False  # whether the present value is text that is being given out

    def feed(self, text: str) -> list[Event]:
        """Take the next piece, cut anywhere; give what is certain by now."""
        self._text += text
        events: list[Event] = []
        while self._text and self._state(events):
            pass
        return events

    def end(self) -> list[Event]:
        """Nothing more comes: give what was held back. A call that was cut off is not ended."""
        events: list[Event] = []
        if self._started:
            # A tag that was cut off is no text.
            tags = (VALUE_END,) if self._state == self._in_value else (CALL_END, KEY)
            cut = max(partial_length(self._text, tag) for tag in tags)
            self._text = self._text[: len(self._text) - cut]
        if self._state == self._in_content or not self._started:
            held, self._text = self._text, ""
            self._write(held, events)
            if not self._called:
                events += self._spaces()
            return events
        if self._state == self._in_value:
            self._cut_off_value(events)
        elif self._state == self._between:
            self._stray(self._text, events)
        self._text = ""
        return events

    # Each state looks at the beginning of `_text` and says whether it got on.

    def _in_content(self, events: list[Event]) -> bool:
        at = self._text.find(CALL)
        if at == -1:
            kept = partial_length(self._text, CALL)
            at = len(self._text) - kept
        found = self._text[at : at + len(CALL)] == CALL
        self._write(self._text[:at], events)
        self._text = self._text[at:]
        if found:
            self._enter(self._in_head)
        return found

    def _in_head(self, events: list[Event]) -> bool:
        """At `<tool_call>`: is it one?"""
        head = HEAD.match(self._text)
        assert head is not None  # noqa: S101 - `_in_content` found the tag
        name, rest = head[2], self._text[head.end() :]
        if rest.startswith("{"):
            return self._json_call(name, head.end(), events)
        if name and rest.startswith(KEY):
            self._name = name
            return self._in_key_of(head.end(), events)
        if rest.startswith(CALL_END) and name and (head[3] or name in self._schemas):
            self._start(name, events)
            self._text = rest[len(CALL_END) :]
            self._end_call(events)
            return True
        if any(tag.startswith(rest) for tag in (KEY, CALL_END, "\\n")):
            return False
        return self._no_call(events)

    def _in_key_of(self, at: int, events: list[Event]) -> bool:
        """At `<arg_key>`: a pair begins if `<arg_value>` follows the key."""
        end = self._text.find(KEY_END, max(at, self._seen))
        key = self._text[at + len(KEY) : end if end != -1 else len(self._text)]
        # A value that begins within the key takes its end tag, whole and in pieces.
        if _NEXT.search(key) is not None or VALUE in key:
            return self._broken_pair(at, events)
        if end == -1:
            self._seen = max(at, len(self._text) - len(KEY_END) + 1)
            return False
        gap = _KEY_GAP.match(self._text, end + len(KEY_END))
        assert gap is not None  # noqa: S101 - it may be empty
        rest = self._text[gap.end() :]
        if not rest.startswith(VALUE):
            if any(tag.startswith(rest) for tag in (VALUE, KEY_END, "\\n")):
                return False
            # vLLM issue 49248: the opening tag of a value is missing.
            mark = _ANY.search(rest)
            if mark is None:
                return False
            if mark[0] != VALUE_END:
                return self._broken_pair(at, events)
        key = key.strip()
        if not self._started:
            self._start(self._name, events)
        events.append(Arguments(("{" if not self._members else ", ") + quoted(key) + ": "))
        self._members += 1
        self._value = self._allowed_for(key)
        self._open = False
        self._text = rest.removeprefix(VALUE)
        self._enter(self._in_value)
        return True

    def _in_value(self, events: list[Event]) -> bool:
        end = self._text.find(VALUE_END, self._seen)
        if end == -1:
            self._give_out(len(self._text) - partial_length(self._text, VALUE_END), events)
            return False
        # Text may hold the tag; it ends the value if no other of its kind comes before the next
        # pair or the call's end.
        mark = _MARK.search(self._text, max(end + len(VALUE_END), self._marked))
        if mark is None:
            self._give_out(end, events)
            self._marked = self._tail()
            return False
        if mark[0] == VALUE_END and "string" in self._value.types:
            self._seen, self._marked = mark.start(), 0
            return True
        self._close_value(self._text[:end], events)
        self._text = self._text[end + len(VALUE_END) :]
        self._enter(self._between)
        return True

    def _between(self, events: list[Event]) -> bool:
        """In a call, behind a pair or behind what was none."""
        mark = _NEXT.search(self._text, self._seen)
        if mark is None:
            self._seen = self._tail()
            return False
        self._stray(self._text[: mark.start()], events)
        self._text = self._text[mark.start() :]
        if mark[0] == KEY:
            self._enter(self._in_pair)
            return True
        if mark[0] == CALL_END:
            self._text = self._text[len(CALL_END) :]
        self._end_call(events)
        return True

    def _in_pair(self, events: list[Event]) -> bool:
        return self._in_key_of(0, events)

    def _json_call(self, name: str, at: int, events: list[Event]) -> bool:
        """A call whose arguments, or all of it, the model wrote as a JSON object."""
        end = self._text.find(CALL_END, max(at, self._seen))
        if end == -1:
            self._seen = max(at, len(self._text) - len(CALL_END) + 1)
            return False
        body = self._text[at:end].strip()
        if not name and (call := read_object(body)) is not None:
            inner = call.get("arguments", call.get("parameters", {}))
            name = str(call.get("name") or "")
            body = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
        if not name or not is_object(body):
            return self._no_call(events)
        self._start(name, events)
        events.append(Arguments(body))
        self._members = -1
        self._text = self._text[end + len(CALL_END) :]
        self._end_call(events)
        return True

    def _no_call(self, events: list[Event]) -> bool:
        """`<tool_call>` that begins none is a word like others."""
        self._write(CALL, events)
        self._text = self._text[len(CALL) :]
        self._enter(self._in_content)
        return True

    def _broken_pair(self, at: int, events: list[Event]) -> bool:
        if not self._started:
            return self._no_call(events)
        mark = _NEXT.search(self._text, at + len(KEY))
        if mark is None:
            return False
        self._write(self._text[: mark.start()], events)
        self._text = self._text[mark.start() :]
        self._enter(self._between)
        return True

    def _start(self, name: str, events: list[Event]) -> None:
        self._space.clear()
        self._name, self._started, self._called, self._members = name, True, True, 0
        events.append(CallStarted(name))

    def _end_call(self, events: list[Event]) -> None:
        if self._members >= 0:
            events.append(Arguments("}" if self._members else "{}"))
        events.append(CallEnded())
        self._started = False
        self._enter(self._in_content)

    def _tail(self) -> int:
        """From where to search on: a tag may be here in part."""
        return max(0, len(self._text) - len(VALUE_END))

    def _stray(self, text: str, events: list[Event]) -> None:
        """What stands in a call and belongs to no pair; a gap does not count."""
        if text.replace("\\n", "").strip():
            self._write(text, events)

    def _enter(self, state: Callable[[list[Event]], bool]) -> None:
        self._state, self._seen, self._marked = state, 0, 0

    def _write(self, text: str, events: list[Event]) -> None:
        """Give content out, but for white space that a call may follow."""
        solid = text.rstrip()
        after = text[len(solid) :]
        if solid:
            before = "".join(self._space)
            if self._called and not self._written:
                before = before.lstrip(_LINE_BREAKS)
                solid = solid if before else solid.lstrip(_LINE_BREAKS)
            events.append(Content(before + solid))
            self._space = [after]
            self._written = True
        elif text:
            self._space.append(text)

    def _spaces(self) -> list[Event]:
        text = "".join(self._space)
        self._space.clear()
        return [Content(text)] if text else []

    def _allowed_for(self, key: str) -> Allowed:
        known = self._allowed.get((self._name, key))
        if known is None:
            known = allowed_for(self._schemas.get(self._name), key)
            self._allowed[self._name, key] = known
        return known

    def _give_out(self, end: int, events: list[Event]) -> None:
        """Give out text that has come, if the value can be nothing else."""
        beginning = self._text[: min(end, DECIDING_CHARACTERS)]
        if not self._open and may_be_json(beginning, self._value):
            self._seen = end
            return
        if not self._open:
            events.append(Arguments('"'))
            self._open = True
        if end:
            events.append(Arguments(quoted(self._text[:end])[1:-1]))
            self._text = self._text[end:]
        self._seen = 0

    def _close_value(self, text: str, events: list[Event]) -> None:
        if self._open:
            events.append(Arguments(quoted(text)[1:-1] + '"'))
        else:
            events.append(Arguments(to_json(text, self._value)))

    def _cut_off_value(self, events: list[Event]) -> None:
        end = self._text.find(VALUE_END, self._seen)
        if end != -1:
            self._close_value(self._text[:end], events)
            self._stray(self._text[end + len(VALUE_END) :], events)
        elif self._open or self._value.text_only:
            events.append(Arguments(("" if self._open else '"') + quoted(self._text)[1:-1]))
        else:
            events.append(Arguments(self._text.lstrip()))
