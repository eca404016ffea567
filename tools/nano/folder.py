"""The trained model's folder: where it is, and how its configurations differ from the embedded's.

Shape and chat template are the embedded model's, `launcher.nano`, but for the vocabulary.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from launcher.nano import model_path as embedded_path
from launcher.nano import shape
from launcher.nano.shape import Shape
from tools.nano.vocabulary import END_OF_TURN, PAD, VOCABULARY

SHAPE: Final = replace(shape.SHAPE, vocabulary=VOCABULARY)
ROPE_THETA: Final = float(shape.config()["rope_theta"])
CHAT_TEMPLATE: Final = embedded_path() / "chat_template.jinja"
"""The one that is written by hand; the folder has a copy."""

_ENDS: Final = {"eos_token_id": list(END_OF_TURN), "pad_token_id": PAD}


def model_path() -> Path:
    """Return the folder that the server takes as `--model-path`."""
    return Path(__file__).resolve().parent / "model"


def config(dimensions: Shape = SHAPE) -> dict[str, Any]:
    """Return `config.json`."""
    return shape.config(dimensions) | _ENDS


def generation_config() -> dict[str, Any]:
    """Return `generation_config.json`."""
    return shape.generation_config() | _ENDS
