"""One answer of the stand-in, with the faults that it can have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.unit.clients.conformance.standin_model import Json, Model, pieces


class Answering:
    """One answer, whole or streamed."""

    def __init__(self, faults: frozenset[str], body: Json, number: int, *, again: bool) -> None:
        self.faults = faults
        self.body = body
        self.id = f"chatcmpl-{number}"
        self.chunks = 0
        self.said = Model(faults).say(body)
        if "drifts" in faults and again and not body.get("stream"):
            self.said.content = self.said.content.replace("help", "serve")
        if "random" in faults:
            self.said.content = self.said.content.replace("Hello", f"Hello{number}")
        self.auto = body.get("tool_choice", "auto") == "auto"
        self.plain = not (body.get("tools") or body.get("response_format"))
        self.raw = self.said.raw
        self.tokens = len(pieces(self.raw)) + 1
        self._limit()
        self._stop()
        self._spoil()

    def _limit(self) -> None:
        limit = self.body.get("max_tokens")
        if "new-limit-ignored" not in self.faults:
            limit = limit or self.body.get("max_completion_tokens")
        if "stream-limit-ignored" in self.faults and self.body.get("stream"):
            limit = None
        if self.body.get("ignore_eos") and limit:
            self.said.content = " and" * limit
            self.tokens = limit
        elif limit and limit < self.tokens:
            left = pieces(self.said.reasoning)[:limit]
            rest = pieces(self.said.content)[: limit - len(left)]
            self.said.reasoning, self.said.content = "".join(left), "".join(rest)
            self.raw = self.said.raw
            self.tokens = limit
            self.said.finish = "stop" if "limit-says-stop" in self.faults else "length"

    def _stop(self) -> None:
        stops = self.body.get("stop") or []
        stops = [stops] if isinstance(stops, str) else stops
        text = self.said.content
        places = [(text.index(stop), stop) for stop in stops if stop in text]
        if places:
            place, stop = min(places)
            end = place + len(stop) if "stop-included" in self.faults else place
            self.said.content = text[:end]
        if "newline-stops" in self.faults and "\n" in stops:
            self.said.content = ""

    def _spoil(self) -> None:
        said, faults = self.said, self.faults
        if "line-break" in faults and said.content and self.plain:
            said.content = "\n" + said.content
        if "think-line-break" in faults and said.reasoning:
            said.reasoning = "\n" + said.reasoning
        if "think-tag" in faults and said.reasoning and not self.body.get("stream"):
            said.reasoning = "<think>" + said.reasoning
        in_content = "thought-in-stream" in faults and self.body.get("stream") and self.plain
        if said.reasoning and ("no-reasoning-parser" in faults or in_content):
            tags = ("", "") if in_content else ("<think>", "</think>")
            said.content = f"{tags[0]}{said.reasoning}{tags[1]}{said.content}"
            said.reasoning = ""
        if "endless-spaces" in faults and said.content == '{"port": 8000}':
            said.content, said.finish = '{"port": ' + " " * 200, "length"
        if said.calls and self.auto:
            if "no-tool-parser" in faults:
                said.content, said.calls, said.finish = self.raw, [], "stop"
            if "calls-lost" in faults:
                said.calls = []
        if "calls-lost-thinking" in faults and said.reasoning and said.calls:
            said.calls, said.finish = [], "stop"
        if "finish-without-call" in faults and self.body.get("tools"):
            said.finish = "tool_calls"
        if said.finish == "dropped":
            said.calls, said.finish = [], "stop"
        if "tool-finish-stop" in faults and said.calls:
            said.finish = "stop"

    def usage(self) -> Json:
        lost = {"system-lost": "system", "result-lost": "tool"}
        unheard = {role for fault, role in lost.items() if fault in self.faults}
        heard = [said for said in self.body.get("messages", []) if said["role"] not in unheard]
        prompt = sum(len(self._heard(message).split()) for message in heard)
        count = self.tokens * (1 if "n-usage-first" in self.faults else self.body.get("n", 1))
        if "thought-uncounted" in self.faults and self.body.get("stream"):
            count -= len(pieces(self.said.reasoning))
        total = prompt + 3 + count + ("wrong-sum" in self.faults)
        details = {"reasoning_tokens": len(pieces(self.said.reasoning)) * self.body.get("n", 1)}
        return {
            "prompt_tokens": prompt + 3,
            "completion_tokens": count,
            "total_tokens": total,
            "completion_tokens_details": details,
        }

    def _heard(self, message: Json) -> str:
        content = message.get("content") or ""
        if isinstance(content, str):
            return content
        if "parts-dropped" in self.faults:
            return ""
        kept = content[:1] if "second-part-lost" in self.faults else content
        return " ".join(part["text"] for part in kept)

    def logprobs(self, *, streamed: bool = False) -> Json | None:
        if not self.body.get("logprobs") or "logprobs-missing" in self.faults:
            return None
        content = []
        texts = pieces(self.raw)[: self.tokens]
        if "always-thinks" in self.faults:
            texts = pieces(self.said.content)
            if not texts:
                return None
        if "logprobs-short" in self.faults and streamed:
            texts = texts[:1]
        bias = 1.0 if "logprobs-positive" in self.faults else 0.0
        for text in texts:
            entry: Json = {"token": text, "logprob": -0.1 + bias, "bytes": list(text.encode())}
            if "logprobs-bytes" in self.faults:
                entry["bytes"] = list(text[:-1].encode())
            content.append({**entry, "top_logprobs": [dict(entry)]})
        return {"content": content}

    def arguments(self, arguments: Any) -> Any:
        if not arguments and "no-arguments" in self.faults:
            return ""
        return json.dumps(arguments, ensure_ascii=False)

    def call_id(self, place: int) -> str:
        if "ids-from-one" in self.faults:
            return f"call_{place + 1}"
        return "call_1" if "same-call-ids" in self.faults else f"call_{self.id}_{place}"

    def whole(self) -> Json:
        message: Json = {"role": "assistant", "content": self.said.content or None}
        if self.said.reasoning:
            message["reasoning"] = self.said.reasoning
        if self.said.calls:
            message["tool_calls"] = [
                {"id": self.call_id(place), "type": "function", "function": {
                    "name": name,
                    "arguments": given if "arguments-object" in self.faults and self.auto
                    else self.arguments(given)}}
                for place, (name, given) in enumerate(self.said.calls)
            ]  # fmt: skip
        count = 1 if "n-ignored" in self.faults else self.body.get("n", 1)
        choices = [
            {"index": index, "message": message, "finish_reason": self.said.finish,
             "logprobs": self.logprobs()}
            for index in range(count)
        ]  # fmt: skip
        body = {"id": self.id, "object": "chat.completion", "model": "standin", "created": 1}
        usage = {} if "no-usage" in self.faults else {"usage": self.usage()}
        return {**body, "choices": choices, **usage}

    def stream(self) -> Iterator[Json | str]:
        faults = self.faults
        options = self.body.get("stream_options") or {}
        count = 1 if "n-ignored" in faults else self.body.get("n", 1)
        for index in range(count):
            yield from self._choice(index)
        if "broken-event" in faults:
            yield "{'id': 1}"
        wanted = options.get("include_usage") and "no-stream-usage" not in faults
        if wanted or "usage-unasked" in faults:
            yield {**self._chunk(), "usage": self.usage()}
        if "no-done" not in faults:
            yield "[DONE]"
        if "after-done" in faults:
            yield self._chunk()

    def _chunk(self, index: int = 0, finish: str | None = None, **delta: Any) -> Json:
        shown = self.id
        if "two-ids" in self.faults and finish:
            shown += "b"
        if "n-two-ids" in self.faults:
            shown += str(index)
        chunk: Json = {"id": shown, "object": "chat.completion.chunk", "model": "standin"}
        self.chunks += 1
        chunk["created"] = 1 + self.chunks * ("created-moves" in self.faults)
        if not delta and finish is None:
            return {**chunk, "choices": []}
        chunk["choices"] = [{"index": index, "delta": delta, "finish_reason": finish}]
        if "usage-everywhere" in self.faults:
            chunk["usage"] = self.usage()
        return chunk

    def _choice(self, index: int) -> Iterator[Json]:
        said, faults = self.said, self.faults
        role = {} if "no-role" in faults else {"role": "assistant"}
        first = self._chunk(index, **role, content="")
        if scores := self.logprobs(streamed=True):
            first["choices"][0]["logprobs"] = scores
        yield first
        for text in pieces(said.reasoning):
            yield self._chunk(index, reasoning=text)
        content = pieces(said.content)
        if "replacement" in faults:
            data = said.content.encode()
            content = [data[at : at + 3].decode(errors="replace") for at in range(0, len(data), 3)]
        if "stream-differs" in faults and self.plain and not said.reasoning and not self._special():
            content = content[:-1]
        if "schema-stream-empty" in faults and self.body.get("response_format"):
            content = []
        for text in content:
            yield self._chunk(index, content=text)
        for place, (name, given) in enumerate(said.calls):
            yield from self._call(index, place, name, given)
        yield self._chunk(index, finish=said.finish)
        if "double-finish" in faults:
            yield self._chunk(index, finish=said.finish)
        if "late-content" in faults and self.plain:
            yield self._chunk(index, content=" ")

    def _special(self) -> bool:
        return any(self.body.get(name) for name in ("stop", "logprobs", "n"))

    def _call(self, index: int, place: int, name: str, given: Any) -> Iterator[Json]:
        shown = 0 if "wrong-index" in self.faults else place
        function = {"name": name, "arguments": ""}
        head = {"index": shown, "id": self.call_id(place), "type": "function", "function": function}
        yield self._chunk(index, tool_calls=[head])
        text = self.arguments(given)
        if "arguments-torn" in self.faults and self.auto:
            text = text[:-1]
        for piece in pieces(text):
            part: Json = {"index": shown, "function": {"arguments": piece}}
            if "name-repeated" in self.faults:
                part["function"]["name"] = name
            yield self._chunk(index, tool_calls=[part])
