"""`long-prompt`: one or more documents and a short question, as after a retrieval."""

from __future__ import annotations

from typing import Final

from benchmarks.workloads.draw import Draw
from benchmarks.workloads.kinds.writing import Draft, Writer, count_words, paragraphs, system, user

SYSTEM: Final = "Answer from the documents alone, in one or two sentences."
ROOM_FOR_A_DOCUMENT_WORDS: Final = 40
# A title, the sentences of its body, and questions that a reader of it has.
DOCUMENTS: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]] = (
    (
        "Minutes of the {team} team of {company}, {weekday}, {day} {month} {year}",
        (
            "{person} reported that {percent} percent of open requests are older than {few} days.",
            "The budget of {amount} euros for the {product} was approved with {few} votes.",
            "{person2} asked for another {few} people until {month2}, without a decision.",
            "The office in {city} will be closed for {few} days from {day} {month2} on.",
            "It was agreed to raise the limit for travel to {amount} euros a person.",
            "The contract with {company2} ends in {month3}; {person3} compares {few} other offers.",
            "Complaints about the {device} rose to {count} in the last {few} weeks.",
            "{person} will present the result of the survey, which {many} customers answered.",
            "The move of the {service} service to {city2} is delayed by {count} days.",
            "Nobody objected to the new rota, under which each of us is on call every {few} weeks.",
            "A pilot with {count} users begins on {weekday2}, led by {person2}.",
            "{person4} pointed out that {count} of {many} invoices had no order number.",
            "The share of parcels that arrive late fell to {percent} percent in {city3}.",
            "{person5} leaves the company on {day} {month3}, and {few} colleagues share the work.",
            "Training for the {product2} takes {few} hours and is paid for by the {team2} team.",
            "The licence for {many} users costs {amount} euros a month, too much for {person3}.",
            "The next audit takes place on {weekday3}, for which {count} documents are missing.",
            "Heating is lowered by {few} degrees at night, which saves {amount} euros a year.",
        ),
        (
            "What was decided about money, and how much is it?",
            "Which tasks does {person} have now?",
            "What is still undecided?",
        ),
    ),
    (
        "Incident report: {service} service, {day} {month} {year}",
        (
            "At {hour}:{minute} the error rate of {service} rose to {percent} percent.",
            "{person} was called and saw {many} connections that were never closed.",
            "The cache in {city} answered with entries that were {count} minutes old.",
            "A restart of {few} of the {count} instances brought no change.",
            "The deployment of {hour}:{minute} had cut the time-out from {count} to {few} seconds.",
            "The {service2} service retried each request {few} times, which fed the traffic.",
            "At {hour}:{minute} {person2} switched the retries off, and the queue began to shrink.",
            "{many} payments worth {amount} euros had to be checked by hand.",
            "The dashboard of the {team} team showed green until {hour}:{minute}.",
            "{company} noticed first and wrote to support, where the mail waited {count} minutes.",
            "The database in {city2} was at {percent} percent of its connections.",
            "As a follow-up, {person3} adds a limit of {many} requests a second.",
            "From {hour}:{minute} on, no new customer could sign in to the {service3} service.",
            "The log of that hour holds {many} lines that say no more than 'try again'.",
            "{person4} found that {count} of the certificates would have run out on {day} {month}.",
            "A second region in {city3} took over {percent} percent of the traffic by hand.",
            "The status page was updated {few} times, the last time at {hour}:{minute}.",
            "A load test in {month2} had stopped at {many} requests a second, far below the peak.",
        ),
        (
            "What was the cause, in one sentence?",
            "Who switched the retries off, and what did it change?",
            "Which follow-up was agreed, and who does it?",
        ),
    ),
    (
        "Agreement between {company} and {company2}, No. {code}",
        (
            "The provider maintains the {device} at {count} places, among them {city} and {city2}.",
            "A fault is answered within {few} hours and mended within {count} hours.",
            "The yearly fee is {amount} euros for each place, due on {day} {month}.",
            "After more than {minute} minutes without service, {few} percent are credited.",
            "Either side may end the agreement {few} months before the end of a year.",
            "{person} is named as the contact of the customer, {person2} as that of the provider.",
            "Spare parts above {amount} euros need consent in writing.",
            "Data of the customer is kept in {city} and deleted after {count} days.",
            "Liability is limited to {amount} euros a case, intent excepted.",
            "Visits at night and on Sundays are charged at {count} euros an hour.",
            "The provider trains up to {count} of the customer's people each year.",
            "Changes of the price are announced {count} days ahead and limited to {few} percent.",
            "Subcontractors in {city3} may be used for up to {percent} percent of the visits.",
            "Each visit is recorded with its length, and the record is kept for {few} years.",
            "Travel is included up to {count} kilometres, then {few} euros a kilometre are due.",
            "Disputes go to a mediator in {city} first, who has {count} days.",
            "The provider is insured for {many} thousand euros and shows this each {month2}.",
            "A device that failed {few} times in {count} days is replaced without charge.",
        ),
        (
            "How fast does a fault have to be answered?",
            "How and when can the customer end the agreement?",
            "What does the customer get when the service is unavailable?",
        ),
    ),
    (
        "Field report on the {device}, {city}, {month} {year}",
        (
            "{count} devices were installed at {company}, {few} of them failed in the first week.",
            "The sensors drift by {few} percent after {many} hours, most of all in the cold.",
            "{person} measured a use of {count} watts, where the data sheet promises {few}.",
            "Firmware {few}.{count} mended the restarts, yet {count} devices run an older one.",
            "Users rated the handling with {few} of 10 points and asked for larger buttons.",
            "In {city2} the radio link was lost {count} times a day behind concrete walls.",
            "{person2} replaced the seals of {count} housings, at {amount} euros in all.",
            "A test with {many} cycles ended without damage to the hinge.",
            "The installers of the {team} team needed {minute} minutes a device, half as planned.",
            "Spare batteries from {company2} lasted {percent} percent longer.",
            "Returns fell from {count} in {month2} to {few} in {month3}.",
            "We advise a second trial with {count} devices before the order of {amount} euros.",
            "Rain found its way into {few} of {count} plugs, all made in {month3}.",
            "{person3} from {company} counted {many} starts in a month, more than planned for.",
            "The charger becomes {count} degrees warm, which the standard allows.",
            "In noise above {percent} decibels the alarm was not heard by {few} of 10 people.",
            "A new mount saves {minute} minutes at each change and costs {few} euros.",
            "The manual lacks the {few} steps that reset the clock after a power cut.",
        ),
        (
            "Which fault comes up most, and under which conditions?",
            "What does the report advise?",
            "What did the change of the firmware bring?",
        ),
    ),
)


def write(draw: Draw, words: int) -> Draft:
    """A document of about so many words and a question; more words are more documents."""
    writer = Writer(draw)
    documents: list[str] = []
    question = ""
    missing = words
    while not documents or missing > ROOM_FOR_A_DOCUMENT_WORDS:
        title, sentences, questions = draw.pick(DOCUMENTS)
        title = writer.fill(title)
        if not documents:
            asked = writer.fill(draw.pick(questions))
            question = f'On "{title}": {asked}'
            missing -= count_words(question)
        body = writer.text(sentences, missing - count_words(title))
        documents.append(f"# {title}\n\n{paragraphs(body, 5)}")
        missing -= count_words(documents[-1])
        writer.renew()
    # The title comes first, so that two prompts share no more than the system's message: what they
    # share would be read from the prefix cache, and the long prefill is what this is about.
    return Draft((system(SYSTEM), user("\n\n".join([*documents, question]))))
