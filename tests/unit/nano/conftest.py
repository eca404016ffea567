"""What the tests of the nano model share: the tokenizer, and a way to render a chat."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.nano.folder import model_path

Render = Callable[..., str]


def load_tokenizer(path: Path) -> Any:
    """Load a tokenizer as the server loads it, with no code of the model's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoTokenizer  # noqa: PLC0415
    return AutoTokenizer.from_pretrained(path, trust_remote_code=False)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The committed tokenizer of the model."""
    return load_tokenizer(model_path())


@pytest.fixture(scope="session")
def render(tokenizer: Any) -> Render:
    """Render messages with the committed chat template."""

    def render_messages(*messages: dict[str, Any], **options: Any) -> str:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))

    return render_messages
