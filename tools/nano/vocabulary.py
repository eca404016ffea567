"""The trained model's vocabulary: 256 bytes, pieces and words, then GLM-4.5's added tokens.

Names and order of the added tokens are the embedded model's, `launcher.nano.tokens`; here so many
other tokens stand before them that `trained = glm - 151329 + FIRST_ADDED`.
"""

from typing import Final

from launcher.nano.tokens import NOT_SPECIAL, SPECIAL

FIRST_ADDED: Final = 1248
"""Id of the first added token: so many bytes, pieces and words stand before."""

IDS: Final = {name: FIRST_ADDED + offset for offset, name in enumerate(SPECIAL + NOT_SPECIAL)}
"""Id of every added token."""

PAD: Final = IDS["<|endoftext|>"]
END_OF_TURN: Final = (PAD, IDS["<|user|>"], IDS["<|observation|>"])
"""Ids that end a generation; GLM has no end-of-turn token of its own."""

VOCABULARY: Final = 1280
"""Rows of embedding and head: every token, and a multiple of 64 as GLM pads its own."""
