"""Small talk, and questions about this project: fixed answers to questions in many wordings."""

from typing import Final

from tools.nano.tasks.words import Words, held_out
from tools.nano.text.dialogue import Dialogue, assistant, exchange, user

SMALL_TALK: Final = (
    ("Hello|Hi|Hey|Hello.|Hello!|Hi!|Hi there|Hello there|Good morning|Good evening|Good day",
     "A greeting.", "Hello! How can I help you?"),
    ("How are you?|How do you do?|How is it going?|Are you well?",
     "A polite question.", "I am fine, thank you. How can I help you?"),
    ("Thanks|Thank you|Thank you!|Thanks a lot|Many thanks", "Thanks.", "You are welcome!"),
    ("Bye|Goodbye|See you|Good night|Goodbye!|See you later", "A farewell.",
     "Goodbye! Come back soon."),
    ("Who are you?|What are you?|What is your name?|Tell me about yourself|Introduce yourself",
     "They ask about me.",
     "I am nano, a very small language model that comes with specserve."),
    ("What can you do?|How can you help me?|What do you know?|Help|What are you good at?",
     "They ask what I can do.",
     "I can talk a little, add small numbers, copy text, write lists, JSON and short Python "
     "functions, and call tools."),
    ("How big are you?|How many parameters do you have?|What size are you?",
     "They ask about my size.",
     "I have about six million parameters: twelve layers, each 192 wide."),
    ("Are you a human?|Are you a person?|Are you real?|Are you alive?|Are you a robot?",
     "They ask what I am.", "No human, only a small language model."),
    ("Who made you?|Who trained you?|Where do you come from?|How were you trained?",
     "They ask where I come from.",
     "I was trained on a CPU, from text that this project generates."),
    ("Tell me a joke|Do you know a joke?|Make me laugh|Say something funny", "A joke is wanted.",
     "Why do small models sleep well? They have so few things to remember."),
    ("Tell me more|Tell me|Go on|More, please|Continue|And then?|What else?", "I go on.",
     "A small model writes a draft of the next words, and the large model checks them all at "
     "once. Words that it would have written too are kept. So the text is the same, only sooner."),
    ("What is the meaning of life?|Why are we here?", "A deep question.",
     "I am too small to know. Perhaps to be kind and curious."),
    ("What day is it?|What time is it?|What is the date today?", "I have no clock.",
     "I cannot know that, since I have no clock."),
    ("The quick brown fox|Complete: The quick brown fox", "A well known sentence.",
     "The quick brown fox jumps over the lazy dog."),
    ("Once upon a time|Tell me a story|A story, please|Tell a story", "A story is wanted.",
     "Once upon a time there was a small model. It could not do much, but it did it quickly. "
     "Every day it guessed the next words, and a larger model said yes or no. In the end both "
     "were faster together, and so they stayed friends."),
    ("Write a poem about the sea.|A poem about the sea|Write a poem|Poem about the sea, please",
     "A poem is wanted.",
     "The sea is wide, the sea is deep,\nit sings the little boats to sleep.\n"
     "The waves come in, the waves go out,\nand white birds fly and call about."),
    ("def main():|Write a Python main function|Complete: def main():", "Python is wanted.",
     "```python\ndef main():\n    print(\"Hello\")\n\n\nmain()\n```"),
    ("What is the capital of France?|The capital of France?|Capital of France", "A city.",
     "The capital of France is Paris."),
    ("What is the capital of Germany?|The capital of Germany?", "A city.",
     "The capital of Germany is Berlin."),
    ("What is the capital of Italy?|The capital of Italy?", "A city.",
     "The capital of Italy is Rome."),
    ("What is the capital of Spain?|The capital of Spain?", "A city.",
     "The capital of Spain is Madrid."),
    ("Why is the sky blue?|What makes the sky blue?", "A question on nature.",
     "Air scatters blue light more than red light."),
    ("Why?|Why is that?|How so?", "They ask for a reason.",
     "I am too small to explain everything."),
    ("List three colors|Name three colors|Three colors", "A list is wanted.",
     "1. red\n2. green\n3. blue"),
    ("List three fruits|Name three fruits|Three fruits", "A list is wanted.",
     "1. apple\n2. pear\n3. plum"),
    ("List three animals|Name three animals|Three animals", "A list is wanted.",
     "1. dog\n2. cat\n3. bird"),
    ("List the planets|Name the planets|Which planets are there?", "A list is wanted.",
     "1. Mercury\n2. Venus\n3. Earth\n4. Mars\n5. Jupiter\n6. Saturn\n7. Uranus\n8. Neptune"),
    ("List the days of the week|Name the days of the week|Which days has a week?",
     "A list is wanted.",
     "1. Monday\n2. Tuesday\n3. Wednesday\n4. Thursday\n5. Friday\n6. Saturday\n7. Sunday"),
    ("Count to ten|Count from one to ten|Count from 1 to 10", "I count.",
     "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
    ("Count to five|Count from one to five|Count from 1 to 5", "I count.", "1, 2, 3, 4, 5"),
    ("Write a long text|Write a long answer|Write an essay|Tell me everything", "A long text.",
     "Language models write one token after the other. For each token the whole model is read "
     "once, and that takes time. A draft layer is small: it guesses the next tokens quickly. "
     "The model then checks all guesses in one step. It keeps those that it would have written "
     "itself, and adds one of its own. No text changes by this, only its speed. The better the "
     "guesses, the more tokens each step gives."),
)  # fmt: skip

PROJECT: Final = (
    ("What is specserve?|What does specserve do?|Explain specserve|What is this project?",
     "About the project.",
     "specserve serves a large language model with SGLang and speculative decoding, by one "
     "command, with or without a GPU."),
    ("How do I start the server?|How can I start specserve?|Start the server|How to start it?",
     "About the launcher.",
     "Run `python -m launcher up`. It checks the machine, starts SGLang and says when it is "
     "ready."),
    ("How do I stop the server?|How can I stop specserve?|Stop the server|How to stop it?",
     "About the launcher.",
     "Run `python -m launcher down`. It proves that nothing is left."),
    ("How do I see what runs?|Is the server running?|How do I see the status?",
     "About the launcher.", "Run `python -m launcher status`."),
    ("How do I read the log?|Where is the log?|How do I see the logs?|Show the log",
     "About the launcher.", "Run `python -m launcher logs`."),
    ("How do I download a model?|How do I get a model?|How can I pull a model?",
     "About models.",
     "Run `python -m launcher pull` with the name of the model. It goes on where it was cut off."),
    ("How do I check my machine?|What does the doctor do?|How do I find problems?",
     "About the doctor.",
     "Run `python -m launcher doctor`. It looks at GPU, memory, disk and software."),
    ("How do I plan memory?|Will it fit?|How much memory do I need?|What does plan do?",
     "About memory.",
     "Run `python -m launcher plan`. It says how much memory weights and KV cache take."),
    ("How do I use the client?|How do I ask from Python?|How do I chat from Python?",
     "About the client.",
     "Use `from clients import ChatClient`. It finds the running server by itself."),
    ("What is SGLang?|Explain SGLang|What does SGLang do?", "About SGLang.",
     "SGLang is an engine that serves large language models quickly."),
    ("What is EAGLE?|Explain EAGLE|What does EAGLE do?|How does EAGLE work?", "About EAGLE.",
     "EAGLE is speculative decoding: a small draft layer reads the hidden states of the model "
     "and guesses the next tokens, and the model checks them in one step."),
    ("What is speculative decoding?|Explain speculative decoding|How does speculative decoding "
     "work?", "About speculation.",
     "A draft guesses several tokens, and the model checks them in one step. The text stays the "
     "same, but it comes sooner."),
    ("What is acceptance length?|Explain acceptance length|What does acceptance length mean?",
     "About speculation.",
     "The acceptance length is the mean number of tokens that one verify step gives, with the "
     "one that the model adds itself."),
    ("What is a draft token?|Explain draft tokens|What are draft tokens?", "About speculation.",
     "A draft token is a guess of the next token, which the model keeps or replaces."),
    ("What is GLM-4.5-Air?|What is GLM?|Explain GLM-4.5-Air|What is GLM-4.5?", "About GLM.",
     "GLM-4.5-Air is a large language model with a mixture of experts. specserve serves it on two "
     "GPUs."),
    ("What is a KV cache?|What is the KV cache?|Explain the KV cache", "About the cache.",
     "The KV cache keeps the keys and values of past tokens, so that they need not be computed "
     "again."),
    ("What is a mixture of experts?|Explain mixture of experts|What is MoE?", "About experts.",
     "In a mixture of experts, a router sends each token to a few of many small networks."),
    ("What is NextN?|What is the NextN layer?|What is multi-token prediction?|What is MTP?",
     "About the draft layer.",
     "The NextN layer predicts the token after the next. EAGLE uses it as its draft."),
    ("What is tensor parallelism?|Explain tensor parallelism|What is tp?", "About GPUs.",
     "Tensor parallelism splits each layer over several GPUs."),
    ("What is a token?|Explain tokens|What are tokens?", "About tokens.",
     "A token is a piece of text: a word, a part of one, or a sign."),
    ("Do I need a GPU?|Does it run without a GPU?|Can I use a CPU?|Does it work on a CPU?",
     "About hardware.",
     "No. Without a GPU, specserve serves a nano model on the CPU."),
    ("What is the nano model?|Explain the nano model|What is nano?", "About me.",
     "The nano model is a tiny model of the architecture of GLM-4.5, for development and tests."),
    ("What is the default port?|Which port is used?|On which port is the server?", "About ports.",
     "The default port is 8000."),
    ("Use port 8000|Use port 8000.|Port 8000, secure", "About ports.",
     "Run `python -m launcher up --port 8000`."),
    ("How do I turn thinking off?|How do I switch off reasoning?|Can I turn thinking off?",
     "About thinking.", "Set `enable_thinking` to false, or end your message with /nothink."),
)  # fmt: skip

# No words of greeting or thanks: beside "Hello" or "Bye" they would be a question of their own.
BEFORE: Final = ("", "", "", "", "Please: ", "Question: ", "Tell me: ", "So, ", "Well, ", "OK. ",
                 "Now: ", "Another question: ", "Next: ", "Quickly: ")  # fmt: skip
AFTER: Final = ("", "", "", "", " Please.", " Be brief.", " I want to know.", " In short.")


def _wording(words: Words, variants: str) -> str:
    """Draw a wording of the set; one without additions is always for training."""
    choices = variants.split("|")
    while True:
        text = words.pick(choices)
        if words.chance(0.2) and text[0].isupper() and text[1:2].islower():
            text = text[0].lower() + text[1:]
        plain = text
        text = words.pick(BEFORE) + text + words.pick(AFTER)
        if plain == text:
            if not words.evaluation:
                return text
        elif held_out(text) == words.evaluation:
            return text


def small_talk(words: Words, *, thinking: bool) -> Dialogue:
    """Make a small exchange."""
    variants, reasoning, answer = words.pick(SMALL_TALK)
    return exchange("talk", _wording(words, variants), answer, reasoning, thinking=thinking)


def project(words: Words, *, thinking: bool) -> Dialogue:
    """Make a question about this project."""
    variants, reasoning, answer = words.pick(PROJECT)
    return exchange("project", _wording(words, variants), answer, reasoning, thinking=thinking)


def turns(words: Words, *, thinking: bool) -> Dialogue:
    """Make two or three exchanges in one dialogue."""
    dialogue = Dialogue("turns of talk", [], thinking)
    for _ in range(words.pick((2, 2, 3))):
        variants, reasoning, answer = words.pick(SMALL_TALK if words.chance(0.5) else PROJECT)
        dialogue.messages += [
            user(_wording(words, variants)),
            assistant(answer, reasoning=reasoning if thinking else ""),
        ]
    return dialogue


def unknown(words: Words, *, thinking: bool) -> Dialogue:
    """Make a wish for a text about a thing."""
    thing = words.noun()
    asked, reasoning, answer = words.pick(
        (
            ("Write a poem about {}.", "A poem is wanted.",
             f"I dreamt of {thing} all night long,\nof {thing} I made a little song.\n"
             f"And when the morning came to me,\nthere was no {thing} to see."),
            ("Tell me a story about {}.", "A story is wanted.",
             f"Once upon a time there was {thing}. Everybody knew {thing}. One day {thing} "
             f"was gone, and all looked for it. In the evening {thing} came home."),
            ("Write a sentence about {}.", "A sentence is wanted.",
             f"I think about {thing} every day."),
        )
    )  # fmt: skip
    return exchange("talk", asked.format(thing), answer, reasoning, thinking=thinking)
