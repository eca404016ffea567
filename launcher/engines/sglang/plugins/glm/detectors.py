"""The machines as the classes that SGLang asks: `Glm4MoeDetector` and `Glm45Detector`.

Written for sglang 0.5.23: function_call/glm4_moe_detector.py, function_call/base_format_detector.py
and parser/reasoning_parser.py say what is asked of them, entrypoints/openai/serving_chat.py asks.
Only servers import this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sglang.srt.entrypoints.openai.protocol import Tool, ToolChoice
from sglang.srt.function_call.core_types import StreamingParseResult, ToolCallItem
from sglang.srt.function_call.glm4_moe_detector import Glm4MoeDetector
from sglang.srt.parser.reasoning_parser import Glm45Detector
from sglang.srt.parser.reasoning_parser import StreamingParseResult as ReasoningResult
from xgrammar import StructuralTag

from launcher.engines.sglang.plugins.glm.calls import CallParser
from launcher.engines.sglang.plugins.glm.events import (
    Arguments,
    CallEnded,
    CallStarted,
    Content,
    Event,
)
from launcher.engines.sglang.plugins.glm.forced import ForcedCallParser, array_schema
from launcher.engines.sglang.plugins.glm.grammar import calls_tag
from launcher.engines.sglang.plugins.glm.reasoning import ReasoningParser
from launcher.engines.sglang.plugins.guard.bounds import BoundError
from launcher.engines.sglang.plugins.guard.grammars import check_schema

_FORMAT = "<tool_call>"


class CallDetector(Glm4MoeDetector):  # type: ignore[misc] # SGLang is untyped
    """Reads calls in GLM-4.5's format, whole and streamed by one machine.

    A call of a tool that was not offered is given on by its name, as SGLang does under
    SGLANG_FORWARD_UNKNOWN_TOOLS; `tool_index` is then -1 in a whole answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._machine: CallParser | ForcedCallParser | None = None

    def has_tool_call(self, text: str) -> bool:
        """Whether to ask at all."""
        return _FORMAT in text

    def get_required_tool_parser(self, tool_choice: Any) -> ForcedCallDetector | None:
        """The parser for an answer in which `tool_choice` forces a call."""
        if tool_choice == "required" or isinstance(tool_choice, ToolChoice):
            return ForcedCallDetector()
        return None

    def get_structural_tag(
        self,
        tools: Sequence[Tool] | None = None,
        tool_choice: Any = "auto",
        thinking_mode: bool = False,  # noqa: ARG002, FBT001, FBT002 - SGLang's, which skips thoughts
        parallel_tool_calls: bool = True,  # noqa: FBT001, FBT002 - as SGLang passes it
    ) -> StructuralTag | None:
        """The grammar of calls to tools that are strict; None leaves an answer as it was.

        SGLang asks where a tool is strict, where SGLANG_TOOL_STRICT_LEVEL makes all of them so, and
        where a call is forced; forced calls of tools that are not strict keep their JSON.
        """
        offered = list(tools or ())
        forced = tool_choice != "auto"
        if not offered or (forced and not all(tool.function.strict for tool in offered)):
            return None
        named = tool_choice.function.name if isinstance(tool_choice, ToolChoice) else None
        tag = calls_tag(
            [
                (
                    str(tool.function.name),
                    (tool.function.parameters or {}) if tool.function.strict else None,
                )
                for tool in offered
                if named in {None, tool.function.name}
            ],
            at_least_one=forced,
            only_one=named is not None or not parallel_tool_calls,
        )
        try:
            check_schema("tools", tag)
        except BoundError:
            # Nobody's request is refused for a grammar that he may not have asked for.
            return None
        return StructuralTag.model_validate(tag)

    def detect_and_parse(self, text: str, tools: list[Tool]) -> StreamingParseResult:
        """Read a whole answer."""
        machine = self._new_machine(tools)
        events = machine.feed(text) + machine.end()
        places = self._get_tool_indices(tools)
        calls: list[ToolCallItem] = []
        parameters: list[list[str]] = []
        for event in events:
            if isinstance(event, CallStarted):
                calls.append(
                    ToolCallItem(
                        tool_index=places.get(event.name, -1), name=event.name, parameters=""
                    )
                )
                parameters.append([])
            elif isinstance(event, Arguments):
                parameters[-1].append(event.text)
        for call, texts in zip(calls, parameters, strict=True):
            call.parameters = "".join(texts)
        return StreamingParseResult(normal_text=_content(events), calls=calls)

    def parse_streaming_increment(self, new_text: str, tools: list[Tool]) -> StreamingParseResult:
        """Read the next piece of a stream."""
        if self._machine is None:
            self._machine = self._new_machine(tools)
        return self._streamed(self._machine.feed(new_text))

    def finish(self, tools: list[Tool]) -> StreamingParseResult:
        """Give what was held back at the end of a stream."""
        if self._machine is None:
            self._machine = self._new_machine(tools)
        return self._streamed(self._machine.end())

    def _new_machine(self, tools: Sequence[Tool]) -> CallParser | ForcedCallParser:
        return CallParser(_schemas(tools))

    def _streamed(self, events: Iterable[Event]) -> StreamingParseResult:
        """The deltas of a stream. The server keeps account of them by the detector's own lists."""
        events = list(events)
        calls: list[ToolCallItem] = []
        for event in events:
            if isinstance(event, CallStarted):
                self.prev_tool_call_arr.append({"name": event.name, "arguments": ""})
                self.streamed_args_for_tool.append("")
                calls.append(self._delta(name=event.name, text=""))
            elif isinstance(event, Arguments):
                last = calls[-1] if calls else None
                if last is None or last.tool_index != self._place or last.name is not None:
                    last = self._delta(name=None, text="")
                    calls.append(last)
                last.parameters += event.text
                self.streamed_args_for_tool[-1] += event.text
                self.prev_tool_call_arr[-1]["arguments"] += event.text
            elif isinstance(event, CallEnded):
                self.current_tool_id = self._place + 1
        return StreamingParseResult(normal_text=_content(events), calls=calls)

    @property
    def _place(self) -> int:
        """Of the call that began last, among those of this answer."""
        return len(self.prev_tool_call_arr) - 1

    def _delta(self, *, name: str | None, text: str) -> ToolCallItem:
        return ToolCallItem(tool_index=self._place, name=name, parameters=text)


class ForcedCallDetector(CallDetector):
    """Reads the JSON array that the grammar of a forced call makes."""

    def has_tool_call(self, text: str) -> bool:
        """Ask always: what is no call comes back as content."""
        return bool(text)

    def get_required_tool_parser(self, tool_choice: Any) -> ForcedCallDetector:  # noqa: ARG002
        """This is it."""
        return self

    def get_json_schema_constraint(
        self,
        tools: Sequence[Tool],
        tool_choice: Any,
        parallel_tool_calls: bool = True,  # noqa: FBT001, FBT002 - SGLang passes it so
    ) -> dict[str, Any] | None:
        """The grammar. A named tool is called once."""
        named = tool_choice.function.name if isinstance(tool_choice, ToolChoice) else None
        allowed = [
            (str(tool.function.name), tool.function.parameters)
            for tool in tools
            if named in {None, tool.function.name}
        ]
        if not allowed:
            return None
        single = named is not None or not parallel_tool_calls
        return array_schema(allowed, most_calls=1 if single else None)

    def _new_machine(self, tools: Sequence[Tool]) -> ForcedCallParser:
        return ForcedCallParser(_schemas(tools))


class ReasoningDetector(Glm45Detector):  # type: ignore[misc] # SGLang is untyped
    """Tells reasoning from the answer, whole and streamed by one machine.

    The arguments are SGLang's: parser/reasoning_parser.py, `ReasoningParser`.
    """

    _accumulated_reasoning: str

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.continue_final_message:
            # The prompt holds the beginning of the answer, or of the reasoning.
            opened = self.previous_content.rfind(self.think_start_token)
            self._in_reasoning = opened > self.previous_content.rfind(self.think_end_token)
        self._machine = self._new_machine()
        self._withheld: list[str] = []

    def _detect_and_parse_impl(self, text: str) -> ReasoningResult:
        machine = self._new_machine()
        parts = (machine.feed(text), machine.end())
        return ReasoningResult(
            normal_text="".join(content for _, content in parts),
            reasoning_text="".join(reasoning for reasoning, _ in parts),
        )

    def _parse_streaming_increment_impl(self, new_text: str) -> ReasoningResult:
        return self._given(*self._machine.feed(new_text), ended=False)

    def finish(self) -> ReasoningResult:
        """Give what was held back at the end of a stream."""
        result = self._given(*self._machine.end(), ended=True)
        if self._force_nonempty_content and self._machine.in_reasoning:
            reasoned, self._accumulated_reasoning = self._accumulated_reasoning, ""
            return ReasoningResult(normal_text=reasoned + result.reasoning_text)
        return result

    def _given(self, reasoning: str, content: str, *, ended: bool) -> ReasoningResult:
        self._in_reasoning = self._machine.in_reasoning
        if not self.stream_reasoning:
            self._withheld.append(reasoning)
            if self._in_reasoning and not ended:
                return ReasoningResult()
            reasoning = "".join(self._withheld)
            self._withheld.clear()
        return ReasoningResult(normal_text=content, reasoning_text=reasoning)

    def _new_machine(self) -> ReasoningParser:
        return ReasoningParser(
            in_reasoning=self._in_reasoning, continuing=self.continue_final_message
        )


def _schemas(tools: Sequence[Tool]) -> dict[str, Any]:
    return {str(tool.function.name): tool.function.parameters for tool in tools}


def _content(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Content))
