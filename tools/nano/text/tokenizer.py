"""The tokenizer: whole words for what is said often, pieces of at most two letters for the rest.

A name or a value that nobody has seen must be copied piece by piece, and a piece that was never
copied in training is copied wrongly. So words are not cut by frequency. What requests and answers
say often is one token a word, without the space before it, so that it is the same token in a
request, in a name such as `bookTable` or `book_table`, and in a call; only the commonest words,
which begin no value, have their space with them. Names are cut where a capital begins. Every other
word is cut into a consonant with its vowel, or a byte, which training copies all the time. Digits
stand alone. The joints of a tool's schema are one token each.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from tools.nano.text import tokens

PHRASES: Final = (
    "\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n",
    "</tools>\n\nFor each function call, output the function name and arguments within the "
    "following XML format:\n",
    "{function-name}\n",
    "{arg-key-1}",
    "{arg-value-1}",
    "{arg-key-2}",
    "{arg-value-2}",
    "\n...\n",
    '{"type": "function", "function": {"name": "',
    '", "description": "',
    '", "parameters": {"type": "object", "properties": {"',
    '", "parameters": {"additionalProperties": false, "properties": {"',
    '": {"type": "',
    '": {"description": "',
    '": {"title": "',
    '": {"anyOf": [{"type": "',
    '"}, {"type": "null"}], "default": null',
    '], "default": null',
    ', "title": "',
    '", "title": "',
    '"minimum": ',
    '"maximum": ',
    "-9007199254740991",
    "9007199254740991",
    '"additionalProperties": false',
    '"$schema": "http://json-schema.org/draft-07/schema#"',
    '"$schema": "https://json-schema.org/draft/2020-12/schema"',
    '": {"type": ["',
    '", "null"]',
    '"default": ',
    '"format": "',
    '"type": "object"',
    '"type": "object", "properties": {"',
    '"properties": {"',
    '"parameters": {',
    '"parameters": {"properties": {"',
    '"parameters": {"type": "object", "properties": {}',
    '"required": ["',
    '"required": []',
    '"items": {"type": "string"}',
    '"items": {"type": "',
    '"type": "array", ',
    '"type": "string"',
    '"type": "integer"',
    '"type": "number"',
    '"type": "boolean"',
    '"description": "',
    '"enum": ["',
    "Here is the result. ",
    "Here are the results. ",
    "Here are the results.\n",
    '", "type": "',
    '", "enum": ["',
    '"array", "items": {"type": "string"}',
    'array", "items": {"type": "string"}}',
    '"}, "',
    '"]}, "',
    '}, "',
    '"}}, "required": ["',
    '}}, "required": ["',
    '"], "type": "object"}}}\n',
    '"], "type": "object"}}}',
    '"}}, "type": "object"}}}',
    '"]}}}\n',
    '"]}}}',
    '"}}}}}\n',
    '"}}}}}',
    '", "',
    '": "',
    '": ',
    ', "',
    '["',
    '"]',
    '{"',
    '"}',
    "```python\ndef ",
    "):\n    return ",
    "\n```",
)
"""Runs of characters that are one token: the fixed parts of tool schemas, JSON and code."""

_WORD: Final = "[A-Z]?[a-z]+|[A-Z]+(?![a-z])"
"""A word, or a part of a name in camel case; capitals alone up to the next word."""
_VOWELS: Final = "aeiou"


def alphabet() -> dict[int, str]:
    """Return byte-level BPE's printable character for each byte.

    Printable Latin-1 stands for itself, the rest is numbered from U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(tokens.BYTES) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    return symbols | {byte: chr(0x100 + place) for place, byte in enumerate(rest)}


def pieces() -> list[tuple[str, str]]:
    """Return the merges: a consonant and a vowel, in small letters or with a capital."""
    letters = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in _VOWELS]
    firsts = letters + [letter.upper() for letter in letters]
    return [(first, vowel) for first in firsts for vowel in _VOWELS]


def counts(texts: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Count words in texts: all of them, and those in small letters behind a space."""
    words: Counter[str] = Counter()
    spaced: Counter[str] = Counter()
    for text in texts:
        words.update(re.findall(_WORD, text))
        spaced.update(re.findall(r" [a-z]+(?![A-Za-z])| I(?![A-Za-z])", text))
    return words, spaced


def make(words: list[str], spaced: list[str]) -> Tokenizer:
    """Make the tokenizer. Ids: bytes, pieces, phrases, words, and then GLM's added tokens.

    Args:
        words: that are one token, without a space.
        spaced: that are one token with the space before them.
    """
    symbols = alphabet()

    def written(text: str) -> str:
        return "".join(symbols[byte] for byte in text.encode())

    merges = pieces()
    vocabulary = {symbols[byte]: byte for byte in range(tokens.BYTES)}
    whole = map(written, (*PHRASES, *spaced, *words))
    for text in [*(a + b for a, b in merges), *whole]:
        vocabulary.setdefault(text, len(vocabulary))
    if len(vocabulary) > tokens.FIRST_ADDED:
        raise ValueError(f"{len(vocabulary)} tokens, and room for {tokens.FIRST_ADDED}.")
    while len(vocabulary) < tokens.FIRST_ADDED:
        vocabulary[f"<unused-{len(vocabulary)}>"] = len(vocabulary)
    pattern = "|".join(
        [*(re.escape(phrase) for phrase in sorted(PHRASES, key=len, reverse=True)), "[0-9]",
         f"(?:{'|'.join(sorted(spaced, key=len, reverse=True))})(?![A-Za-z])", _WORD,
         "[^A-Za-z0-9]"]
    )  # fmt: skip
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in tokens.SPECIAL]
    )
    tokenizer.add_tokens(
        [AddedToken(name, special=False, normalized=False) for name in tokens.NOT_SPECIAL]
    )
    return tokenizer
