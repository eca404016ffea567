"""The embedded nano model: a model folder of GLM-4.5's architecture, 13 MB small, trained.

The folder of this package *is* the model folder: `config.json`, tokenizer, chat template and
weights lie beside this file, so the real server loads it without a network. MODEL_CARD.md says
what it can do; `tools/nano` trains it, and writes all but the chat template and the card.

Which way imports go: this file imports nothing of ours, and is all that the launcher imports
from here. `shape` imports `tokens`; both are for `tools/nano`. None imports the launcher.
"""

from pathlib import Path

__all__ = ["model_path"]


def model_path() -> Path:
    """Return the folder that the server takes as `--model-path`.

    It holds exactly what a model folder from the hub holds, and a few Python
    files that model loaders do not look at.
    """
    return Path(__file__).resolve().parent
