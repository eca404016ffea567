"""What the tests of the nano model share: the tokenizer, and a way to render a chat."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from launcher.nano.folder import model_path
from tools.nano.model import export, shape
from tools.nano.text import make_tokenizer

Render = Callable[..., str]


def load_tokenizer(path: Path) -> Any:
    """Load a tokenizer as the server loads it, with no code of the model's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import AutoTokenizer  # noqa: PLC0415
    return AutoTokenizer.from_pretrained(path, trust_remote_code=False)


@pytest.fixture(scope="session")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tools make beside the weights: the tokenizer, its configuration, the template."""
    folder = tmp_path_factory.mktemp("made")
    make_tokenizer.write(folder / "tokenizer.json")
    export.write_json(folder / "tokenizer_config.json", shape.tokenizer_config())
    shutil.copyfile(model_path() / "chat_template.jinja", folder / "chat_template.jinja")
    return folder


@pytest.fixture(scope="session")
def tokenizer(made_folder: Path) -> Any:
    """The tokenizer that the tools make, as the server loads one."""
    return load_tokenizer(made_folder)


@pytest.fixture(scope="session")
def plain_tokenizer(made_folder: Path) -> Tokenizer:
    """The same, as the training loads it."""
    return Tokenizer.from_file(str(made_folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def render(tokenizer: Any) -> Render:
    """Render messages with the committed chat template."""

    def render_messages(*messages: dict[str, Any], **options: Any) -> str:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))

    return render_messages
