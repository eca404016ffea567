"""The nano tokenizer's vocabulary: 256 bytes, pieces and words, then GLM-4.5's added tokens.

The added tokens keep GLM-4.5's names and order, so that every id is GLM's less
a constant: `nano = glm - 151329 + FIRST_ADDED`. Bytes have their own value as id.
"""

from typing import Final

BYTES: Final = 256
FIRST_ADDED: Final = 2528
"""Id of the first added token: so many bytes, pieces and words stand before."""

SPECIAL: Final = (
    "<|endoftext|>",
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|begin_of_audio|>",
    "<|end_of_audio|>",
    "<|begin_of_transcription|>",
    "<|end_of_transcription|>",
)
"""Dropped from text by `skip_special_tokens`. Source: GLM-4.5's tokenizer_config.json."""

NOT_SPECIAL: Final = (
    "<|code_prefix|>",
    "<|code_middle|>",
    "<|code_suffix|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "/nothink",
)
"""One token each, but text: the server's parsers look for them in what it decodes."""

IDS: Final = {name: FIRST_ADDED + offset for offset, name in enumerate(SPECIAL + NOT_SPECIAL)}
"""Id of every added token."""

PAD: Final = IDS["<|endoftext|>"]
END_OF_TURN: Final = (PAD, IDS["<|user|>"], IDS["<|observation|>"])
"""Ids that end a generation; GLM has no end-of-turn token of its own."""

VOCABULARY: Final = 2560
"""Rows of embedding and head: every token, and a multiple of 64 as GLM pads its own."""
