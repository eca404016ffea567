"""A look at a checkpoint on held-out prompts: `python -m tools.nano.worth.probe [--folder DIR]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from tools.nano.model import generate
from tools.nano.model.network import Nano
from tools.nano.tasks.words import Words
from tools.nano.text.dialogue import Dialogue
from tools.nano.text.tokens import END_OF_TURN
from tools.nano.training.data import MAKERS, prompt_of
from tools.nano.worth import score
from tools.nano.worth.parse import parse
from tools.nano.worth.score import Answer


def right(dialogue: Dialogue, answer: Answer) -> bool:
    """Say whether an answer is what its dialogue wants: the number, the calls, or the text."""
    if dialogue.number is not None:
        return score.right_number(answer, dialogue.number)
    if dialogue.calls and dialogue.messages[-1].get("tool_calls"):
        return score.right_calls(answer, dialogue.calls)
    return bool(answer.content == dialogue.messages[-1]["content"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer some held-out prompts of each task and print what was right."""
    parser = argparse.ArgumentParser(prog="python -m tools.nano.worth.probe", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".checkpoints"), metavar="DIR")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--kind", action="append", choices=sorted(MAKERS))
    parser.add_argument("--wrong", action="store_true", help="print wrong answers")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    state = torch.load(options.folder / "checkpoint.pt", weights_only=True)
    model = Nano()
    model.load_state_dict(state["model"])
    tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    console = Console()
    table = Table("task", "well formed", "right", title=f"step {state['step']}")
    for kind in options.kind or MAKERS:
        words = Words(f"probe/{kind}", evaluation=True)
        dialogues = [MAKERS[kind](words, thinking=n % 2 == 0) for n in range(options.count)]
        prompts = [tokenizer.encode(prompt_of(one)).ids for one in dialogues]
        answers = []
        for one, ids in zip(dialogues, generate.greedy(model, prompts, 220), strict=True):
            written = generate.text(tokenizer, ids)
            ended = ids[-1] in END_OF_TURN
            answer = parse(written, one.tools, thinking=one.thinking, ended=ended)
            answers.append((one, answer))
            if options.wrong and not right(one, answer):
                asked = one.messages[-2]["content"]
                wanted = one.calls or one.messages[-1]["content"]
                console.print(f"{asked!r}\n  {wanted!r}\n  {written!r}", markup=False)
        formed = sum(score.well_formed(answer) for _, answer in answers)
        good = sum(right(one, answer) for one, answer in answers)
        table.add_row(kind, f"{formed}/{len(answers)}", f"{good}/{len(answers)}")
    console.print(table)


if __name__ == "__main__":
    main()
