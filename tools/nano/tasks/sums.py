"""Arithmetic of one and two digits, reasoned digit by digit."""

from tools.nano.tasks.words import Words, held_out
from tools.nano.text.dialogue import Dialogue, exchange

QUESTIONS = (
    "What is {sum}?",
    "What's {sum}?",
    "{sum}",
    "{sum} =",
    "{sum} = ?",
    "Calculate {sum}.",
    "Compute {sum}.",
    "How much is {sum}?",
    "What does {sum} make?",
    "Please work out {sum}.",
)
SPOKEN = {"+": "plus", "-": "minus", "*": "times"}
RESULT = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


def pair_held_out(sign: str, a: int, b: int) -> bool:
    """Say whether a sum is kept for evaluation; a + b goes with b + a, and a * b with b * a."""
    first, second = (a, b) if sign == "-" else (min(a, b), max(a, b))
    return held_out(f"{first} {sign} {second}")


def reasoning(sign: str, a: int, b: int) -> str:
    """Reason as one does on paper: ones, then tens with what is carried."""
    if sign == "*":
        return ", ".join(f"{n} * {b} = {n * b}" for n in range(1, a + 1)) + "."
    if sign == "-" and a < b:
        return f"{a} is less than {b}. {reasoning('-', b, a)} So -{b - a}."
    if a < 10 and b < 10:
        return f"{a} {sign} {b} = {RESULT[sign](a, b)}."
    tens_a, ones_a = divmod(a, 10)
    tens_b, ones_b = divmod(b, 10)
    if sign == "+":
        ones = ones_a + ones_b
        carry = ones // 10
        first = f"{ones_a} + {ones_b} = {ones}, carry {carry}."
        return f"{first} {tens_a} + {tens_b} + {carry} = {tens_a + tens_b + carry}. So {a + b}."
    borrow = int(ones_a < ones_b)
    ones = ones_a + 10 * borrow
    first = f"{ones} - {ones_b} = {ones - ones_b}, borrow {borrow}."
    return f"{first} {tens_a} - {tens_b} - {borrow} = {tens_a - tens_b - borrow}. So {a - b}."


def answer(sign: str, a: int, b: int, *, thinking: bool) -> str:
    """Say what a sum makes; without thinking with its steps, unless it is known by heart."""
    said = f"{a} {sign} {b} = {RESULT[sign](a, b)}"
    by_heart = a <= 9 and b <= 9 and sign != "*"
    return said if thinking or by_heart else f"{reasoning(sign, a, b)} {said}"


def draw(words: Words, two_digits: float = 0.75) -> tuple[str, int, int]:
    """Draw a sum of the set that `words` draws from; so often each number goes up to 99."""
    while True:
        sign = words.pick("++++----*")
        if sign == "*":
            a, b = words.random.randint(1, 9), words.random.randint(1, 9)
        else:
            a, b = (
                words.random.randint(0, 99 if words.chance(two_digits) else 9) for _ in range(2)
            )
            if sign == "-" and a < b and words.chance(0.8):
                a, b = b, a
        if pair_held_out(sign, a, b) == words.evaluation:
            return sign, a, b


def fact(words: Words) -> str:
    """Write one of the sums that reasoning is made of, never one that is held out."""
    while True:
        a, b, c = words.random.randint(0, 9), words.random.randint(0, 9), words.random.randint(0, 1)
        form = words.random.randint(0, 4)
        if form == 0 and not pair_held_out("+", a, b):
            return f"{a} + {b} = {a + b}"
        if form == 1:
            return f"{a} + {b} + {c} = {a + b + c}"
        whole = a + 10 * (a < b)
        if form == 2 and not pair_held_out("-", whole, b):
            return f"{whole} - {b} = {whole - b}"
        if form == 3 and a >= b + c:
            return f"{a} - {b} - {c} = {a - b - c}"
        if form == 4 and a and b and words.chance(0.4) and not pair_held_out("*", a, b):
            return f"{a} * {b} = {a * b}"


def drill(words: Words, *, thinking: bool) -> Dialogue:
    """Make a row of small sums: what reasoning is made of, close together."""
    facts = [fact(words) for _ in range(words.random.randint(2, 8))]
    row = ", ".join(one.split(" =")[0] for one in facts)
    question = words.pick(("What are {0}?", "Calculate {0}.", "Compute {0}.")).format(row)
    return exchange("drill", question, ", ".join(facts), "I compute each.", thinking=thinking)


def arithmetic(words: Words, *, thinking: bool) -> Dialogue:
    """Make a question for a sum, and its answer."""
    # What cannot be reasoned cannot be learnt: without thinking, the answer shows the steps.
    sign, a, b = draw(words, 0.75)
    style = words.random.random()
    if style < 0.25:
        written = f"{a} {SPOKEN[sign]} {b}"
    elif style < 0.35:
        written = f"{a}{sign}{b}"
    elif sign == "*" and style < 0.6:
        written = f"{a} x {b}"
    else:
        written = f"{a} {sign} {b}"
    question = words.pick(QUESTIONS).format(sum=written)
    result = RESULT[sign](a, b)
    steps = reasoning(sign, a, b)
    dialogue = exchange(
        "sums", question, answer(sign, a, b, thinking=thinking), steps, thinking=thinking
    )
    dialogue.number = result
    return dialogue
