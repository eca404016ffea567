"""The names under which SGLang keeps the parsers that ours take the place of."""

from typing import Final

CALL_PARSERS: Final = ("glm45", "glm")
REASONING_PARSERS: Final = ("glm45",)
