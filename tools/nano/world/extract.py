"""Facts of a text as a JSON object: asked for in words, or by a grammar alone."""

import json
from typing import Any, Final

from tools.nano.tasks.words import Words
from tools.nano.text.dialogue import Dialogue, Message, assistant, system, user
from tools.nano.world import bank, scenes
from tools.nano.world.naming import spoken

ORDERS: Final = (
    "Extract {keys} as JSON: {text}", "{text} Answer in JSON.", "{text}\nReply with JSON only.",
    "Give me JSON with the keys {keys}. {text}", "Turn this into JSON: {text}",
    "{text} Return a JSON object with {keys}.", "As JSON, please: {text}",
    'Read the text and fill in {keys}.\n\n"{text}"', "JSON: {text}",
)  # fmt: skip
SYSTEMS: Final = (
    "Extract the facts from the text as JSON. Use only what the text says.", "Answer in JSON.",
    "You turn messages into JSON objects.", "Reply with a JSON object and nothing else.",
    "Extract structured data from what the user writes.", "Output valid JSON.",
)  # fmt: skip


def extraction(words: Words, *, thinking: bool) -> Dialogue:
    """Make a text, around it others, and the object of its facts."""
    made: dict[str, Any] = {}
    texts: list[str] = []
    for _ in range(words.pick((1, 1, 2, 2, 3))):
        scene = words.pick(bank.scenes())
        tool = scenes.from_scene(words, scenes.toolbox(words), scene)
        if not scene["parameters"]:
            continue
        text, arguments = tool.wish(words)
        texts.append(text)
        made |= arguments
    for _ in range(words.pick((0, 0, 1, 2))):
        texts.insert(words.random.randint(0, len(texts)), words.pick(bank.lines("remarks")))
    if not made:
        made["text"] = texts[0] if texts else "unknown"
        texts = texts or ["unknown"]
    if words.chance(0.3):
        pairs = list(made.items())
        words.random.shuffle(pairs)
        made = dict(pairs)
    text = " ".join(one if one[-1] in ".!?" else f"{one}." for one in texts)
    messages: list[Message] = []
    draw = words.random.random()
    dialogue = Dialogue("extraction", messages, thinking)
    if draw < 0.35:
        messages.append(system(words.pick(SYSTEMS)))
    elif draw < 0.75:
        keys = [spoken(key) if words.chance(0.3) else key for key in made]
        text = words.pick(ORDERS).format(keys=", ".join(keys), text=text)
    else:
        dialogue.unasked = True
    answer = json.dumps(made, ensure_ascii=False)
    reply = assistant(answer, reasoning="I write JSON." if thinking else "")
    messages += [user(text), reply]
    return dialogue
