"""Begin with weights of another tokenizer: `python -m tools.nano.training.carry_over`.

A token that both tokenizers have keeps its row in embedding and head; a new one begins with the
mean of the rows that the old tokenizer would have cut it into.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from tools.nano.model.export import tensors
from tools.nano.model.network import Nano
from tools.nano.text import tokens
from tools.nano.training.train import Trainer

ROWS = ("embed_tokens.weight", "lm_head.weight", "shared_head.head.weight")


def rows(old: Tensor, given: Tokenizer, wanted: Tokenizer) -> Tensor:
    """Turn a table of one row for each token of a tokenizer into that of another.

    Args:
        old: `[old vocabulary, hidden]`.
        given: the tokenizer that it belongs to.
        wanted: the tokenizer to turn it into.

    Returns:
        `[vocabulary, hidden]`.
    """
    known = {given.id_to_token(number): number for number in range(given.get_vocab_size())}
    made = old.mean(0).expand(tokens.VOCABULARY, -1).clone()
    for number in range(wanted.get_vocab_size()):
        text = wanted.id_to_token(number)
        if text in known:
            made[number] = old[known[text]]
        elif text is not None and number >= tokens.BYTES and not text.startswith("<unused"):
            pieces = given.encode(wanted.decode([number])).ids
            if pieces:
                made[number] = old[pieces].mean(0)
    return made


@torch.no_grad()
def carry_over(model: Nano, weights: Path, given: Tokenizer, wanted: Tokenizer) -> None:
    """Give a model the weights of a file that was trained with another tokenizer."""
    state = load_file(weights)
    for name, tensor in tensors(model):
        old = state[name].float()
        tensor.copy_(rows(old, given, wanted) if name.endswith(ROWS) else old)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write the checkpoint that training begins with."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.nano.training.carry_over", description=__doc__
    )
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE")
    parser.add_argument("--folder", type=Path, default=Path(".checkpoints"), metavar="DIR")
    options = parser.parse_args(arguments)
    wanted = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    trainer = Trainer(wanted)
    carry_over(trainer.model, options.weights, Tokenizer.from_file(str(options.tokenizer)), wanted)
    trainer.save(options.folder)


if __name__ == "__main__":
    main()
