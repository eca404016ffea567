"""`tools`: an agent with two to four tools, one of which the request needs."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.workloads.draw import Draw
from benchmarks.workloads.kinds.writing import Draft, Writer, count_words, system, user

SYSTEM: Final = "You are an assistant with tools. Call a tool when it helps; do not guess results."


@dataclass(frozen=True, slots=True)
class _ToolExample:
    """One function, and requests that need it."""

    name: str
    does: str
    parameters: dict[str, dict[str, Any]]
    required: tuple[str, ...]
    requests: tuple[str, ...]

    def schema(self) -> dict[str, Any]:
        """In the OpenAI format."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.does,
                "parameters": {
                    "type": "object",
                    "properties": copy.deepcopy(self.parameters),
                    "required": list(self.required),
                },
            },
        }


def _text(means: str = "") -> dict[str, Any]:
    return {"type": "string", "description": means} if means else {"type": "string"}


_WHOLE: Final = {"type": "integer"}
_DATE: Final = _text("ISO 8601")

TOOLS: Final = (
    _ToolExample(
        "get_weather",
        "Forecast for a city",
        {"city": _text(), "days": _WHOLE, "unit": {"type": "string", "enum": ["C", "F"]}},
        ("city",),
        (
            "What will the weather be like in {city} over the next {few} days, in Celsius?",
            "Do I need a coat in {city} on {weekday}?",
        ),
    ),
    _ToolExample(
        "search_flights",
        "Flights between two cities",
        {"origin": _text(), "destination": _text(), "date": _DATE, "max_euros": _WHOLE},
        ("origin", "destination", "date"),
        (
            "Find me a flight from {city} to {city2} on {day} {month} below {amount} euros.",
            "How do I get from {city} to {city2} by plane on {month} {day}?",
        ),
    ),
    _ToolExample(
        "create_event",
        "Put a meeting into the calendar",
        {
            "title": _text(),
            "start": _DATE,
            "minutes": _WHOLE,
            "attendees": {"type": "array", "items": {"type": "string"}},
        },
        ("title", "start", "minutes"),
        (
            "Set up {count} minutes with {person} and {person2} on {month} {day} at {hour}:30.",
            "Please block {hour} o'clock on {month} {day} for the review of the {product}.",
        ),
    ),
    _ToolExample(
        "query_orders",
        "Search the orders of a customer",
        {
            "customer": _text(),
            "status": {"type": "string", "enum": ["open", "sent", "returned"]},
            "limit": _WHOLE,
        },
        ("customer",),
        (
            "Which orders of {company} are still open? The last {few} are enough.",
            "Show me what {company} has sent back, up to {count} orders.",
        ),
    ),
    _ToolExample(
        "send_message",
        "Send a message to a colleague",
        {"to": _text(), "text": _text(), "urgent": {"type": "boolean"}},
        ("to", "text"),
        (
            "Tell {person} that the {product} for {company} ships on {weekday}. It is urgent.",
            "Let {person} know that I will be {minute} minutes late to the {team} meeting.",
        ),
    ),
    _ToolExample(
        "convert_currency",
        "Convert an amount at today's rate",
        {"amount": {"type": "number"}, "from": _text("ISO 4217"), "to": _text("ISO 4217")},
        ("amount", "from", "to"),
        (
            "How much are {amount} euros in Japanese yen today?",
            "What are {amount} US dollars worth in Norwegian kroner?",
        ),
    ),
    _ToolExample(
        "open_ticket",
        "Report a problem to a team",
        {
            "team": _text(),
            "summary": _text(),
            "priority": {"type": "string", "enum": ["low", "high"]},
        },
        ("team", "summary", "priority"),
        (
            "The {service} service fails for {percent} percent of requests. Tell the {team} team.",
            "Open a ticket of low priority: the {device} shows the wrong hour, ask {team}.",
        ),
    ),
    _ToolExample(
        "read_metrics",
        "Read a metric of a service",
        {"service": _text(), "metric": _text(), "last_minutes": _WHOLE},
        ("service", "metric"),
        (
            "How many errors did the {service} service have in the last {count} minutes?",
            "Check the memory of {service} and {service2} over the last {minute} minutes.",
        ),
    ),
    _ToolExample(
        "find_document",
        "Search the company's documents",
        {"query": _text(), "author": _text(), "year": _WHOLE},
        ("query",),
        (
            "Where is the contract with {company} that {person} wrote in {year}?",
            "I need our notes on the {product} from {year}, by {person} if possible.",
        ),
    ),
    _ToolExample(
        "book_room",
        "Book a room in an office",
        {"office": _text(), "people": _WHOLE, "start": _DATE, "screen": {"type": "boolean"}},
        ("office", "people", "start"),
        (
            "Get us a room for {count} people in {city} on {month} {day} at {hour}, with a screen.",
            "We are {few} and need a room in the {city} office on {month} {day}.",
        ),
    ),
)
CONTEXT: Final = (
    "I am on the train and cannot look it up myself.",
    "{person3} asked me for it {count} minutes ago.",
    "If that does not work, tell me what went wrong.",
    "It is for the {team2} team, cost centre {code}.",
    "We talked about it on {weekday2}, if you remember.",
    "Please do not ask me again, take sensible values for the rest.",
    "I need it before {hour} o'clock.",
    "Our office in {city3} did the same last {month2} for {few} people.",
)


def write(draw: Draw, words: int) -> Draft:
    """A request, the tool that it needs, and one to three others, in an order of chance."""
    writer = Writer(draw)
    needed = draw.pick(TOOLS)
    others = draw.some([tool for tool in TOOLS if tool is not needed], draw.between(1, 3))
    request = writer.fill(draw.pick(needed.requests))
    context = writer.text(CONTEXT, words - count_words(request))
    return Draft(
        (system(SYSTEM), user(" ".join([request, *context]))),
        tools=tuple(tool.schema() for tool in draw.shuffled([needed, *others])),
        options={"tool_choice": "auto"},
    )
