"""`json`: fields pulled out of mails and notes, under a JSON schema that the server enforces."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.workloads.draw import Draw
from benchmarks.workloads.kinds.writing import Draft, Writer, count_words, paragraphs, system, user

SYSTEM: Final = "Extract the facts from the text as JSON. Use only what the text says."


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": longest}


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _whole() -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": 99_999}


@dataclass(frozen=True, slots=True)
class _Form:
    """One sort of text and the fields that are wanted of it; all are required."""

    name: str
    fields: dict[str, dict[str, Any]]
    opening: str
    body: tuple[str, ...]


FORMS: Final = (
    _Form(
        "support_ticket",
        {
            "product": _text(30),
            "category": _one_of("defect", "delivery", "billing", "question"),
            "urgency": _one_of("low", "normal", "high"),
            "order_number": _whole(),
            "wants_refund": {"type": "boolean"},
        },
        "Subject: my order {code} - Dear {company}, my {device} arrived on {weekday}.",
        (
            "It stopped working after {few} days, and the light blinks {few} times.",
            "I paid {amount} euros for it, {percent} of them for delivery.",
            "I called your hotline on {day} {month} and waited {count} minutes.",
            "{person} from your {team} team promised to call back before {hour} o'clock.",
            "My neighbour in {city} has had the same one for {few} years without trouble.",
            "I would like my money back, unless you can send another by {weekday2}.",
            "The serial number on the back ends in {code}.",
        ),
    ),
    _Form(
        "invoice",
        {
            "supplier": _text(30),
            "number": _whole(),
            "total_euros": _whole(),
            "due_day": {"type": "integer", "minimum": 1, "maximum": 31},
            "payment": _one_of("transfer", "card", "direct debit"),
        },
        "Invoice {code} of {company}, {city}, for the {team} department.",
        (
            "{few} units of the {device} at {amount} euros each.",
            "Installation on {day} {month}, {few} hours, {amount} euros.",
            "A discount of {percent} euros was agreed with {person}.",
            "The total of {amount} euros is payable by transfer until {day} {month2}.",
            "Please quote the customer number {code} with your payment.",
            "Goods remain our property until they are paid; late payment costs {few} percent.",
            "Delivery note {code} was signed by {person2} at {hour}:{minute}.",
        ),
    ),
    _Form(
        "incident",
        {
            "service": _text(20),
            "severity": _one_of("sev1", "sev2", "sev3"),
            "minutes_down": _whole(),
            "cause": _one_of("deployment", "hardware", "traffic", "dependency", "unknown"),
            "actions": {"type": "array", "items": _text(24), "minItems": 1, "maxItems": 2},
        },
        "At {hour}:{minute} on {weekday} the {service} service began to return errors.",
        (
            "About {percent} percent of requests failed for {count} minutes.",
            "{person} from the {team} team rolled version {few}.{count} back.",
            "The {service2} service waited for it and filled its queue to {many} entries.",
            "A disk in {city} had been at {percent} percent since {day} {month}.",
            "{many} customers were affected, among them {company}.",
            "The alarm came {minute} minutes late, since its threshold was {many}.",
            "{person2} will add a limit of {count} connections before {weekday2}.",
        ),
    ),
    _Form(
        "meeting",
        {
            "title": _text(30),
            "weekday": _one_of("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
            "hour": {"type": "integer", "minimum": 0, "maximum": 23},
            "attendees": {"type": "array", "items": _text(16), "minItems": 1, "maxItems": 3},
            "is_online": {"type": "boolean"},
        },
        "Hi {person}, can we talk about the {product} for {company} on {weekday}?",
        (
            "I am free from {hour} o'clock on, for {count} minutes at most.",
            "{person2} and {person3} should be there too; the {team} team can stay away.",
            "The room in {city} holds {few} people, otherwise we meet online.",
            "Before that I need the figures of {month}, all {count} pages of them.",
            "Last time we ran {minute} minutes over.",
            "If it does not suit you, {weekday2} at {hour}:{minute} would be fine.",
            "I booked {few} licences of the {product2} so that we can try it.",
        ),
    ),
    _Form(
        "job_posting",
        {
            "role": _text(30),
            "city": _text(16),
            "years_of_experience": {"type": "integer", "minimum": 0, "maximum": 40},
            "salary_thousand_euros": _whole(),
            "contract": _one_of("permanent", "fixed term", "freelance"),
        },
        "{company} is looking for an engineer in its {team} team in {city}.",
        (
            "You have worked with systems like our {service} service for {few} years or more.",
            "We pay up to {count} thousand euros a year, and {few} weeks of leave.",
            "The contract is permanent after {few} months on trial.",
            "You would work with {person} and {count} others, {percent} percent of them remote.",
            "Since {year} we have shipped {many} of our {device}s.",
            "Apply to {person2} before {day} {month}, reference {code}.",
            "Every second {weekday} the whole office cooks together.",
        ),
    ),
    _Form(
        "review",
        {
            "product": _text(30),
            "stars": {"type": "integer", "minimum": 1, "maximum": 5},
            "sentiment": _one_of("positive", "mixed", "negative"),
            "praised": {"type": "array", "items": _text(20), "maxItems": 2},
            "criticised": {"type": "array", "items": _text(20), "maxItems": 2},
        },
        "I have used the {device} from {company} for {few} months now.",
        (
            "Setting it up took {minute} minutes and the manual has {count} pages too many.",
            "It does what it should, and support in {city} answered within {few} hours.",
            "For {amount} euros I had hoped for better buttons.",
            "The battery lasts {few} days, about {percent} percent of what they promise.",
            "My colleague {person} bought the {device2} instead and regrets it.",
            "I would buy it again, though the update of {month} broke {few} of my settings.",
            "It survived a fall of {few} steps and {count} washes.",
        ),
    ),
)

ROOM_FOR_A_QUOTE_WORDS: Final = 30


def write(draw: Draw, words: int) -> Draft:
    """A text, and the schema of its fields as `response_format`; a long one quotes others."""
    writer = Writer(draw)
    forms = draw.shuffled(FORMS)
    form = forms[0]
    texts: list[str] = []
    missing = words
    while not texts or missing > ROOM_FOR_A_QUOTE_WORDS:
        texts.append(_text_of(writer, forms[len(texts) % len(forms)], missing))
        missing -= count_words(texts[-1])
        writer.renew()
    if quoted := texts[1:]:
        texts = [
            texts[0],
            "Take the facts from the text above. It quoted these:",
            *quoted,
        ]
    schema = {
        "type": "object",
        "properties": copy.deepcopy(form.fields),
        "required": list(form.fields),
        "additionalProperties": False,
    }
    return Draft(
        (system(SYSTEM), user("\n\n".join(texts))),
        options={
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": form.name, "schema": schema, "strict": True},
            }
        },
    )


def _text_of(writer: Writer, form: _Form, words: int) -> str:
    opening = writer.fill(form.opening)
    return paragraphs([opening, *writer.text(form.body, words - count_words(opening))], 4)
