"""The tokenizer: whole words of the fixed texts, and pieces of at most two letters for the rest.

A value that nobody has seen must be copied piece by piece, and a piece that was never copied
in training is copied wrongly. So words are not cut by frequency. What the fixed texts say over
and over is one token as a whole (`ignore_merges` takes a word that is in the vocabulary as it
is); every other word is cut into a consonant with its vowel, or a byte, which training copies
all the time. Digits stand alone. The joints of a tool's schema are one token each.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from tools.nano import tokens
from tools.nano.tool_use import COMMONEST_VERB, PARAMETERS, VERBS
from tools.nano.words import NOUNS, PEOPLE, PLACES

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

_PATTERN: Final = "|".join(
    [*(re.escape(phrase) for phrase in sorted(PHRASES, key=len, reverse=True)),
     "[0-9]", " ?[A-Za-z]+", "[^A-Za-z0-9]"]
)  # fmt: skip
_SPELLED: Final = frozenset(
    word.lower() for word in (*NOUNS, *PLACES, *PEOPLE, COMMONEST_VERB, *VERBS, *PARAMETERS)
)
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


def whole_words(texts: Iterable[str], limit: int) -> list[str]:
    """Count what fixed texts repeat: at most `limit` words, no value among them."""
    counts = Counter(
        word
        for text in texts
        for word in set(re.findall(r" ?[A-Za-z]{2,}| [aI]\b", text))
        if word.strip().lower() not in _SPELLED
    )
    return [word for word, count in counts.most_common(limit) if count >= 8]


def make(words: list[str]) -> Tokenizer:
    """Make the tokenizer. Ids: bytes, pieces, phrases, words, and then GLM's added tokens."""
    symbols = alphabet()

    def written(text: str) -> str:
        return "".join(symbols[byte] for byte in text.encode())

    merges = pieces()
    vocabulary = {symbols[byte]: byte for byte in range(tokens.BYTES)}
    for text in [*(a + b for a, b in merges), *map(written, PHRASES), *map(written, words)]:
        vocabulary.setdefault(text, len(vocabulary))
    while len(vocabulary) < tokens.FIRST_ADDED:
        vocabulary[f"<unused-{len(vocabulary)}>"] = len(vocabulary)
    if len(vocabulary) > tokens.FIRST_ADDED:
        raise ValueError(f"{len(vocabulary)} tokens, and room for {tokens.FIRST_ADDED}.")
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), "isolated"),
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
