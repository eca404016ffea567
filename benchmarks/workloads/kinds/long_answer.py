"""`long-answer`: a line that asks for pages: guides, stories, plans."""

from __future__ import annotations

from typing import Final

from benchmarks.workloads.draw import Draw
from benchmarks.workloads.kinds.writing import Draft, Writer, count_words, user

FORMS: Final = (
    "Write a detailed guide",
    "Write a long article with examples",
    "Write a tutorial step by step",
    "Write a talk of {few} pages",
    "Write a chapter of a handbook",
    "Write a plan for {few} months, week by week,",
    "Write an interview with an expert, {few} long answers,",
    "Write a report with sections and a summary",
)
SUBJECTS: Final = (
    "on how a hospital in {city} could halve the time that patients wait",
    "on how to start a bakery with {amount} euros in {city}",
    "on how the {service} service of a shop is moved to a new data centre without a pause",
    "on how to teach {count} teenagers to cook for a week",
    "on how tides, wind and rock shaped the coast near {city}",
    "on how to plan a museum exhibition about the year {year}",
    "on how compilers turn a loop into machine code",
    "on how to restore a wooden boat that lay in a barn for {count} years",
    "on how {company} could bring its {product} to a new market",
    "on how people in {city} and {city2} dealt with floods over the centuries",
    "on how databases keep promises when machines fail",
    "on how to run a choir of {count} people who cannot read music",
    "on how a {team} team finds out why its deadlines slip",
    "on how vaccines are developed, tested and distributed",
    "on how to walk from {city} to {city2} in {count} days",
    "on how to turn {many} square metres of lawn into a garden that feeds a family",
    "on how a lighthouse keeper named {person} finds a letter from {year}",
    "on how {person} and {person2} open the last cinema of their town again",
)
READERS: Final = (
    "Its readers have never heard of the subject.",
    "Its readers are experts and want figures.",
    "It is for {person3}, who has {count} minutes on the train.",
    "It is for the students of a school in {city3}.",
    "It will be printed in the magazine of {company2}.",
)
WISHES: Final = (
    "Begin with what surprises people most.",
    "Use no lists, only prose.",
    "Give at least {few} examples from daily life.",
    "End with the {few} mistakes that are made most often.",
    "Let it be calm in tone, and leave nothing important out.",
    "Mention what it cost in {month} {year} and what it costs today.",
    "Put a short summary in front.",
)


def write(draw: Draw, words: int) -> Draft:
    """A request without a system message: hardly any prefill."""
    writer = Writer(draw)
    request = f"{writer.fill(draw.pick(FORMS))} {writer.fill(draw.pick(SUBJECTS))}."
    reader = writer.fill(draw.pick(READERS))
    wishes = writer.text(WISHES, words - count_words(request) - count_words(reader))
    return Draft((user(" ".join([request, reader, *wishes])),))
