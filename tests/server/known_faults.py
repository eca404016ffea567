"""What the server under test does wrong as it is, by the ids of `python -m clients check`.

Each with its reason. An entry that is mended fails the test: take it out.
"""

from __future__ import annotations

from typing import Final

KNOWN_FAULTS: Final[dict[str, str]] = {}
