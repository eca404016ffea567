"""Copying, reformatting, lists, JSON, short Python functions, and what a system prompt asks."""

import json

from tools.nano.tasks.words import Words
from tools.nano.text.dialogue import Dialogue, assistant, exchange, system, user

COPY = ("Repeat: {0}", "Say {0}", "Repeat after me: {0}", "Copy this: {0}", "Echo: {0}")
BODIES = (
    ("adds {n} to its argument", "x", "return x + {n}"),
    ("subtracts {n} from its argument", "x", "return x - {n}"),
    ("multiplies its argument by {n}", "x", "return x * {n}"),
    ("divides its argument by {n}", "x", "return x / {n}"),
    ("returns {n}", "", "return {n}"),
    ("adds two numbers", "a, b", "return a + b"),
    ("multiplies two numbers", "a, b", "return a * b"),
    ("subtracts two numbers", "a, b", "return a - b"),
    ("returns the square of its argument", "x", "return x * x"),
    ("doubles its argument", "x", "return 2 * x"),
    ("returns the larger of two numbers", "a, b", "return a if a > b else b"),
    ("returns the smaller of two numbers", "a, b", "return a if a < b else b"),
    ("says whether a number is even", "x", "return x % 2 == 0"),
    ("says whether a number is odd", "x", "return x % 2 == 1"),
    ("returns the length of a list", "items", "return len(items)"),
    ("returns the sum of a list", "items", "return sum(items)"),
    ("returns the first item of a list", "items", "return items[0]"),
    ("returns the last item of a list", "items", "return items[-1]"),
    ("reverses a list", "items", "return items[::-1]"),
    ("greets a name", "name", 'return f"Hello, {{name}}"'),
)


def copying(words: Words, *, thinking: bool) -> Dialogue:
    """Make a text to repeat."""
    draw = words.random.random()
    if draw < 0.2:
        text = " ".join(str(words.integer(5)) for _ in range(words.random.randint(1, 4)))
    elif draw < 0.5:
        text = " ".join(words.name() for _ in range(words.random.randint(1, 4)))
    else:
        text = " ".join(words.nouns(words.random.randint(1, 7)))
    question = words.pick(COPY).format(text)
    return exchange("copying", question, text, "I repeat the text.", thinking=thinking)


def reformatting(words: Words, *, thinking: bool) -> Dialogue:
    """Make a row of words to put into another form."""
    items = words.nouns(words.random.randint(2, 5))
    row = ", ".join(items)
    form, answer = words.pick(
        (
            ("a JSON list", json.dumps(items)),
            ("a JSON array", json.dumps(items)),
            ("a numbered list", "\n".join(f"{n}. {item}" for n, item in enumerate(items, 1))),
            ("a bulleted list", "\n".join(f"- {item}" for item in items)),
            ("a list with dashes", "\n".join(f"- {item}" for item in items)),
            ("a line of words with semicolons", "; ".join(items)),
            ("one word a line", "\n".join(items)),
            ("a Python list", json.dumps(items)),
        )
    )
    asked = words.pick(
        ("Write {0} as {1}.", "Turn {0} into {1}.", "Format {0} as {1}.", "Make {1} of {0}.",
         "Give me {1}: {0}", "Put this into {1}: {0}")
    )  # fmt: skip
    question = asked.format(row, form)
    return exchange("lists", question, answer, f"I write {form}.", thinking=thinking)


def objects(words: Words, *, thinking: bool) -> Dialogue:
    """Make fields to write as a JSON object, or one to read a field of."""
    values = {
        key: words.pick((words.integer(), words.name(), words.noun()))
        for key in words.nouns(words.random.randint(1, 4))
    }
    text = json.dumps(values)
    if words.chance(0.65):
        fields = ", ".join(f"{key} {value}" for key, value in values.items())
        question = words.pick(
            ("Write a JSON object: {0}", "Give me JSON with {0}.", "Write {0} as JSON.",
             "Make a JSON object of {0}.")
        ).format(fields)  # fmt: skip
        return exchange("JSON", question, text, "I write JSON.", thinking=thinking)
    key = words.pick(list(values))
    question = words.pick(
        ("What is the {1} in {0}?", "Read the {1}: {0}", "Which {1} does {0} have?")
    ).format(text, key)
    answer = f"The {key} is {values[key]}."
    return exchange("JSON", question, answer, f"I look for {key}.", thinking=thinking)


def code(words: Words, *, thinking: bool) -> Dialogue:
    """Make a wish for a short Python function."""
    does, parameters, body = words.pick(BODIES)
    number = words.integer(3)
    name = words.noun()
    question = words.pick(
        ("Write a Python function {0} that {1}.", "Write a function {0} in Python that {1}.",
         "Python: a function {0} that {1}.", "Define a Python function {0} that {1}.")
    ).format(name, does.format(n=number))  # fmt: skip
    answer = f"```python\ndef {name}({parameters}):\n    {body.format(n=number)}\n```"
    return exchange("Python", question, answer, "I write a function.", thinking=thinking)


def picking(words: Words, *, thinking: bool) -> Dialogue:
    """Make a question for the first, the last or the number of a row of words."""
    items = words.nouns(words.random.randint(2, 6))
    row = ", ".join(items)
    asked, answer = words.pick(
        (
            ("What is the first word of {0}?", f"The first word is {items[0]}."),
            ("What is the last word of {0}?", f"The last word is {items[-1]}."),
            ("How many words are in {0}?", f"There are {len(items)} words."),
            ("Which word comes first: {0}?", f"The first word is {items[0]}."),
            ("Which word comes last: {0}?", f"The last word is {items[-1]}."),
        )
    )
    return exchange("lists", asked.format(row), answer, "I look at the words.", thinking=thinking)


def remembering(words: Words, *, thinking: bool) -> Dialogue:
    """Make several turns, or a system prompt, with a name that comes back."""
    name, thing = words.name(), words.noun()
    reasoning = "I look back." if thinking else ""
    if words.chance(0.4):
        order, question, answer = words.pick(
            (
                (f"Your name is {name}.", "What is your name?", f"My name is {name}."),
                (f"You are {name}.", "Who are you?", f"I am {name}."),
                (f"You are {name}, a helpful assistant.", "Who are you?", f"I am {name}."),
                (f"The user is called {name}.", "Hello", f"Hello, {name}!"),
                (f"The user is called {name}.", "What is my name?", f"Your name is {name}."),
                (f"Answer every question with {thing}.", "Hello", thing),
                (f"Answer every question with {thing}.", "How are you?", thing),
                (f"The password is {thing}.", "What is the password?", f"It is {thing}."),
            )
        )
        messages = [system(order), user(question), assistant(answer, reasoning=reasoning)]
        return Dialogue("memory", messages, thinking)
    told, reply, question, answer = words.pick(
        (
            (f"My name is {name}.", f"Nice to meet you, {name}!", "What is my name?",
             f"Your name is {name}."),
            (f"I am {name}.", f"Nice to meet you, {name}!", "Who am I?", f"You are {name}."),
            (f"I like {thing}.", f"So you like {thing}.", "What do I like?",
             f"You like {thing}."),
            (f"I live in {name}.", f"So you live in {name}.", "Where do I live?",
             f"You live in {name}."),
            (f"Remember the word {thing}.", f"I remember {thing}.", "Which word was it?",
             f"It was {thing}."),
        )
    )  # fmt: skip
    messages = [
        user(told),
        assistant(reply, reasoning=reasoning),
        user(question),
        assistant(answer, reasoning=reasoning),
    ]
    return Dialogue("memory", messages, thinking)
