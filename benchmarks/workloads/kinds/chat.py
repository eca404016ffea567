"""`chat`: people who ask an assistant about work, home and plans; one in three in two turns."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.workloads.draw import Draw
from benchmarks.workloads.kinds.writing import (
    Draft,
    Writer,
    assistant,
    count_words,
    system,
    user,
)

SYSTEMS: Final = (
    "You are a helpful assistant. Answer clearly and to the point.",
    "You are the assistant of {company}. Be friendly, honest and brief.",
    "You help people think through everyday decisions. Say what you are unsure of.",
)
# What it is about, and what is asked: each opening has questions that fit it.
SCENES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        "My manager {person} asked me to present the {product} to {company} on {weekday}.",
        (
            "How should I structure the talk so that it stays under {count} minutes?",
            "What questions should I expect, and how do I prepare for them?",
            "Could you draft an opening that is confident but not pushy?",
        ),
    ),
    (
        "We are moving from {city} to {city2} in {month} with two children and a dog.",
        (
            "What should we settle first, and what can wait until we are there?",
            "Can you give me a checklist for the last {few} weeks before the move?",
            "How do we tell the children about it without making them anxious?",
        ),
    ),
    (
        "The {device} I bought from {company} {few} weeks ago keeps switching itself off.",
        (
            "Which checks can I do myself before I send it back?",
            "Please write a polite but firm message to their support.",
            "Am I likely to have a right to a refund, or only to a repair?",
        ),
    ),
    (
        "I started running in {month} and want to finish a half marathon in {city}.",
        (
            "How should I spread my training over a week without getting hurt?",
            "What should I eat on the evening and on the morning before the race?",
            "Is it normal that my knees ache after {few} kilometres, and what helps?",
        ),
    ),
    (
        "My colleague {person} often interrupts me in meetings of the {team} team.",
        (
            "How can I bring this up without making it a quarrel?",
            "Could you suggest two sentences that I can say in the moment?",
            "Should I speak to {person} first or to our manager, and why?",
        ),
    ),
    (
        "I am cooking for {few} guests on {weekday}, and one of them eats neither dairy nor nuts.",
        (
            "Can you suggest a menu of three courses that I can prepare the day before?",
            "What would be a main dish that everyone at the table can share?",
            "How do I plan the cooking so that I am not in the kitchen all evening?",
        ),
    ),
    (
        "I have saved {amount} euros and do not know whether to pay off my loan or to invest.",
        (
            "What should I compare before I decide?",
            "Can you explain the trade-off as you would to someone new to this?",
            "Which mistakes do people in my place make most often?",
        ),
    ),
    (
        "I am learning the guitar again after {count} years and practise in the evening.",
        (
            "How would you divide half an hour of practice?",
            "Which songs are good for getting chord changes fluent?",
            "How do I stay with it when progress is slow?",
        ),
    ),
    (
        "Our small team at {company} wants to try a week of four days from {month} on.",
        (
            "Which arguments speak against it, and how could we answer them?",
            "How would you measure after {few} months whether it works?",
            "Please draft a short note that asks our director for a trial.",
        ),
    ),
    (
        "My grandmother in {city} is eighty-{few}, lives alone and forgets her tablets.",
        (
            "Which simple aids work without a smartphone?",
            "How can I help from a distance without taking over?",
            "What should I ask her doctor at the next visit?",
        ),
    ),
    (
        "The tomatoes on my balcony in {city} have yellow leaves from the bottom up.",
        (
            "What are the likely causes, and how do I tell them apart?",
            "Is there something I can do this week to save them?",
            "How should I water and feed them for the rest of {month}?",
        ),
    ),
    (
        "I have an interview with {company} for a role in the {team} team on {weekday}.",
        (
            "Which of my experiences should I put first?",
            "How do I answer when they ask why I left my last job after {few} months?",
            "What could I ask them that shows real interest?",
        ),
    ),
)
DETAILS: Final = (
    "I have about {count} minutes a day for this, seldom more.",
    "My budget is around {amount} euros, and I would rather stay below it.",
    "A friend of mine, {person2}, says that I worry too much about it.",
    "I tried something similar in {year}, and it did not go well.",
    "What matters most to me is that it is done before the end of {month2}.",
    "I read {few} articles about it, and they contradict each other.",
    "I am fairly new to this, so please leave out jargon.",
    "There are {few} people involved, and we all have different opinions.",
    "Last time I lost about {count} hours because I started without a plan.",
    "I would say that I am {percent} percent sure that I want to go through with it.",
    "{person3} from the {team2} team has offered to help on {weekday2}.",
    "If there are several ways, tell me which one you would take and why.",
    "I can do most of it at the weekend, but not after {hour} o'clock.",
    "It would cost me {amount} euros to have somebody else do it.",
)
ASKED_BACK: Final = (
    "I am glad to help. What have you tried so far, and what limits do you have in time or money?",
    "That is a good moment to ask. Could you tell me a little more about your situation first?",
    "Of course. So that my answer fits: what matters most to you, and what should I leave out?",
)

ANSWERED: Final = (
    (
        "Start with the part that cannot be undone, and leave the rest open for a week. Write down "
        "what would change your mind, so that you notice when it happens."
    ),
    (
        "There are two good ways. The first is cheaper and takes longer; the second costs more "
        "and is done sooner. From what you say, I would take the first."
    ),
    (
        "I would ask one more person who has done it before. Apart from that, your plan is sound; "
        "just allow for a day or two more than you think you need."
    ),
    (
        "Keep it simple: one list, one date, one person who decides. If that is settled, most of "
        "what worries you now will take care of itself."
    ),
)
ROOM_FOR_A_TURN_WORDS: Final = 40


def write(draw: Draw, words: int) -> Draft:
    """One conversation that ends with a question of the user; a long one has earlier questions."""
    writer = Writer(draw)
    instruction = system(writer.fill(draw.pick(SYSTEMS)))
    scenes = draw.shuffled(SCENES)
    first, details, question = _turn(writer, draw, scenes.pop(), words)
    last = " ".join([first, *details, question])
    if draw.between(1, 3) == 1:
        now = [
            user(f"{first} Can you help me with that?"),
            assistant(draw.pick(ASKED_BACK)),
            user(" ".join([*details, question])),
        ]
    else:
        now = [user(last)]
    before: list[dict[str, Any]] = []
    missing = words - count_words(last)
    while scenes and missing > ROOM_FOR_A_TURN_WORDS:
        writer.renew()
        first, details, question = _turn(writer, draw, scenes.pop(), missing)
        before += [user(" ".join([first, *details, question])), assistant(draw.pick(ANSWERED))]
        missing -= count_words(before[-2]["content"])
    return Draft((instruction, *before, *now))


def _turn(
    writer: Writer, draw: Draw, scene: tuple[str, tuple[str, ...]], words: int
) -> tuple[str, list[str], str]:
    opening, questions = scene
    first, question = writer.fill(opening), writer.fill(draw.pick(questions))
    return first, writer.text(DETAILS, words - count_words(first) - count_words(question)), question
