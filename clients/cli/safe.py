"""Texts of a server or a file, as a terminal may be given them.

The same as `launcher.text.terminal_safe`, which is not imported: a test holds the two together.
"""

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def terminal_safe(text: str) -> str:
    """A text of anybody, so that a terminal only shows it: what it would act on is written out."""
    if text.isascii() and text.isprintable():
        return text
    plain = _COLOUR.sub("", text.replace("\r\n", "\n"))
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), plain)
