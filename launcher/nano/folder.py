"""Where the embedded model is."""

from pathlib import Path


def model_path() -> Path:
    """Return the folder that the server takes as `--model-path`.

    It holds exactly what a model folder from the hub holds, and two Python
    files that model loaders do not look at.
    """
    return Path(__file__).resolve().parent
