"""Messages that want words and no call, and the answers to them."""

from typing import Any, Final

from tools.nano.tasks import sums
from tools.nano.tasks.words import Words, held_out
from tools.nano.text.dialogue import Dialogue, assistant, system, user
from tools.nano.world import bank

UNKNOWN: Final = "I am sorry, I do not know that. I am a very small model."
LACKING: Final = "I need to know more for that. Please tell me the rest."
Exchange = tuple[str, str, str]
"""What is said, the reasoning, and the answer."""

ANSWERS: Final = {
    "greetings": ("A greeting.", "Hello! How can I help you?"),
    "thanks": ("Thanks.", "You are welcome!"),
    "goodbye": ("A farewell.", "Goodbye! Come back soon."),
    "howareyou": ("A polite question.", "I am fine, thank you. How can I help you?"),
    "identity": ("They ask about me.",
                 "I am nano, a very small language model that comes with specserve."),
    "abilities": ("They ask what I can do.",
                  "I can talk a little, add small numbers, copy text, write lists, JSON and short "
                  "Python functions, and call tools."),
    "remarks": ("A remark.", "I see. How can I help you?"),
    "yesno": ("A short word.", "All right. What can I do for you?"),
    "unknown": ("I do not know this.", UNKNOWN),
    "foreign": ("I do not know this.", UNKNOWN),
}  # fmt: skip
SHARES: Final = {
    "greetings": 9, "thanks": 9, "goodbye": 5, "howareyou": 5, "identity": 7, "abilities": 6,
    "remarks": 11, "yesno": 4, "unknown": 34, "foreign": 16,
}  # fmt: skip
WITH_TOOLS: Final = SHARES | {"unknown": 12, "foreign": 5}


def message(words: Words, name: str) -> str:
    """Draw a message of the bank that belongs to the set."""
    while True:
        text = words.pick(bank.lines(name))
        if held_out(f"{name} {text}") == words.evaluation:
            break
    if words.chance(0.08):
        text = text.lower()
    if words.chance(0.08):
        text = text.rstrip(".!?") or text
    return text


def exchange(words: Words, shares: dict[str, int]) -> Exchange:
    """Draw a message and what is answered."""
    name = words.random.choices(list(shares), list(shares.values()))[0]
    reasoning, answer = ANSWERS[name]
    return message(words, name), reasoning, answer


WORDINGS: Final = {"+": "sums", "-": "differences", "*": "products"}


def sum_(words: Words, *, thinking: bool) -> tuple[Exchange, int]:
    """Draw a sum in ordinary words, and its number. Without thinking the answer shows its steps."""
    sign, a, b = sums.draw(words, 0.7)
    while sign == "-" and a < b:
        sign, a, b = sums.draw(words, 0.7)
    asked = message(words, WORDINGS[sign]).replace("{a}", str(a)).replace("{b}", str(b))
    answer = sums.answer(sign, a, b, thinking=thinking)
    return (asked, sums.reasoning(sign, a, b), answer), sums.RESULT[sign](a, b)


def talk(words: Words, *, thinking: bool) -> Dialogue:
    """Make one to four exchanges without tools, in some dialogues behind a system prompt."""
    dialogue = Dialogue("bank talk", [], thinking)
    if words.chance(0.3):
        dialogue.messages.append(system(system_prompt(words)))
    for _ in range(words.pick((1, 1, 1, 1, 2, 3, 4))):
        dialogue.messages += as_messages(exchange(words, SHARES), thinking=thinking)
    return dialogue


def worded_sum(words: Words, *, thinking: bool) -> Dialogue:
    """Make a sum in the words of the bank."""
    said, result = sum_(words, thinking=thinking)
    messages = as_messages(said, thinking=thinking)
    if words.chance(0.1):
        messages.insert(0, system(system_prompt(words)))
    return Dialogue("sums", messages, thinking, number=result)


def system_prompt(words: Words) -> str:
    """Draw a system prompt."""
    if words.chance(0.25):
        return "You are a helpful assistant."
    return message(words, "systems")


def as_messages(said: Exchange, *, thinking: bool) -> list[dict[str, Any]]:
    """Turn an exchange into messages."""
    asked, reasoning, answer = said
    return [user(asked), assistant(answer, reasoning=reasoning if thinking else "")]
