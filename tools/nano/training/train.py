"""Train the nano model: `python -m tools.nano.training.train [--folder DIR] [--processes N]`.

Each process has one thread and reads its own dialogues; gradients are summed between them.
Two processes of one thread are faster than one of two threads for matrices of this size.
Started again with the same folder, it goes on where the last checkpoint was taken. Where there is
none, `--from-model STEP` begins with the weights of `launcher/nano`, as after so many steps of the
recipe, without what the optimizer knew.
"""

import argparse
import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
import torch.nn.functional as F
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from launcher.nano.folder import model_path
from tools.nano.model.draft import STEPS, draft_loss
from tools.nano.model.export import read_weights
from tools.nano.model.network import Mixture, Nano
from tools.nano.model.shape import SHAPE, Shape
from tools.nano.training import recipe
from tools.nano.training.batches import Batch, batches, own_samples, samples
from tools.nano.training.optimizer import Optimizer

CHECKPOINT_EVERY: Final = 25
CORRECTION_RATE: Final = 0.001
"""How far a step moves a router's correction against the experts' load."""
GRADIENT_LIMIT: Final = 1.0
MEASURED: Final = ("loss", "weight", "places", "tokens", "right")
"""What a step sums up, before the places that each draft step got right."""


def fingerprint(tokenizer: Tokenizer) -> str:
    """Return a hash of a tokenizer: with another one, weights are worth nothing."""
    return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()


class Trainer:
    """One process of the training.

    Args:
        tokenizer: turns text into tokens.
        rank: number of this process.
        processes: how many there are.
        shape: the model's dimensions.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, rank: int = 0, processes: int = 1, shape: Shape = SHAPE
    ) -> None:
        torch.manual_seed(0)
        self.tokenizer = tokenizer
        self.rank = rank
        self.processes = processes
        self.model = Nano(shape)
        self.optimizer = Optimizer(self.model, recipe.MATRIX_RATE, recipe.OTHER_RATE)
        self.mixtures = [part for part in self.model.modules() if isinstance(part, Mixture)]
        self.step_number = 0
        self.begun = 0
        self.tokens = 0

    def step(self) -> dict[str, float]:
        """Take one step; return what it measured, over all processes."""
        stage = recipe.stage_at(self.step_number)
        seed = f"{recipe.SEED}/{self.step_number}/{self.rank}"
        own = 0 if stage.main else round(recipe.OWN_SHARE * stage.tokens)
        drawn = samples(seed, stage.mixture, stage.tokens - own, self.tokenizer)
        if own:
            drawn += own_samples(f"{seed}/own", own, self.model, self.tokenizer)
        self.model.train(stage.main)
        for parameter in self.model.parameters():
            parameter.grad = None
        measured = torch.zeros(len(MEASURED) + STEPS)
        for batch in batches(drawn, recipe.BATCH_TOKENS):
            measured += self._backward(batch, main=stage.main)
        measured[3] = sum(len(one.ids) for one in drawn)
        self._gather(measured)
        loss, weight, places, tokens, right, *agreed = measured.tolist()
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad /= weight
        draft = set(self.model.nextn.parameters())
        main = [one for one in self.model.parameters() if one not in draft]
        norm = torch.nn.utils.clip_grad_norm_(main, GRADIENT_LIMIT)
        torch.nn.utils.clip_grad_norm_(draft, GRADIENT_LIMIT)
        self.optimizer.step(recipe.rate_at(self.step_number, self.begun))
        for mixture in self.mixtures:
            if not mixture.training:
                continue
            mixture.correction += CORRECTION_RATE * (mixture.load.mean() - mixture.load).sign()
            mixture.load.zero_()
        self.step_number += 1
        self.tokens += int(tokens)
        return {
            "loss": loss / weight,
            "right": right / places,
            "accepted": 1 + sum(agreed) / places,
            "norm": float(norm),
        }

    def _backward(self, batch: Batch, *, main: bool) -> Tensor:
        """Add a batch's gradients, of the main model or of the NextN layer; return its sums."""
        with torch.set_grad_enabled(main):
            hidden = self.model(batch.ids, batch.groups)
            logits = self.model.logits(hidden[batch.learnt])
        wanted = batch.ids[batch.learnt + 1]
        loss = (F.cross_entropy(logits, wanted, reduction="none") * batch.weights).sum()
        measured = torch.zeros(len(MEASURED) + STEPS)
        measured[0] = loss.item()
        measured[1] = batch.weights.sum() if main else wanted.shape[0]
        measured[2] = wanted.shape[0]
        measured[4] = (logits.argmax(-1) == wanted).sum()
        if not main:
            loss, agreed = draft_loss(
                self.model, batch.ids, batch.groups, hidden, batch.learnt, logits
            )
            measured[0] = loss.item()
            measured[len(MEASURED) :] = agreed
        loss.backward()
        return measured

    def _gather(self, measured: Tensor) -> None:
        """Sum gradients, loads and figures over all processes."""
        if self.processes == 1:
            return
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        parts = [*gradients, *(mixture.load for mixture in self.mixtures), measured]
        together = torch.cat([part.reshape(-1) for part in parts])
        dist.all_reduce(together)
        sizes = [part.numel() for part in parts]
        for part, summed in zip(parts, together.split(sizes), strict=True):
            part.copy_(summed.view_as(part))

    def save(self, folder: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state(),
            "step": self.step_number,
            "begun": self.begun,
            "tokens": self.tokens,
            "tokenizer": fingerprint(self.tokenizer),
        }
        partial = folder / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(folder / "checkpoint.pt")

    def load(self, folder: Path) -> bool:
        """Go on from a checkpoint, if there is one."""
        path = folder / "checkpoint.pt"
        if not path.exists():
            return False
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load(state["optimizer"])
        self.step_number, self.tokens = state["step"], state["tokens"]
        self.begun = state["begun"]
        return True

    def begin(self, folder: Path, step: int) -> None:
        """Begin with a model folder's weights, which so many steps made; the rate rises anew."""
        read_weights(self.model, folder / "model.safetensors")
        self.step_number = self.begun = step


def run(rank: int, processes: int, folder: Path, stop_at: int, from_model: int | None) -> None:
    """Train in one process until a step."""
    if processes > 1:
        # Linux shares the processors by session first: in one, both would count as one.
        os.setsid()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if processes > 1:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder / 'rendezvous'}",
            rank=rank,
            world_size=processes,
        )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    trainer = Trainer(tokenizer, rank=rank, processes=processes)
    if not trainer.load(folder) and from_model is not None:
        trainer.begin(model_path(), from_model)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=rank > 0) as progress:
        bar = progress.add_task("training", total=stop_at, completed=trainer.step_number)
        while trainer.step_number < stop_at:
            started = time.monotonic()
            figures = trainer.step()
            figures |= {"step": trainer.step_number, "tokens": trainer.tokens}
            figures["seconds"] = time.monotonic() - started
            described = " ".join(f"{name} {figures[name]:.3f}" for name in ("loss", "right"))
            progress.update(bar, completed=trainer.step_number, description=described)
            last = trainer.step_number == stop_at
            if rank == 0:
                with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(figures) + "\n")
                if last or trainer.step_number % CHECKPOINT_EVERY == 0:
                    trainer.save(folder)
    if processes > 1:
        dist.destroy_process_group()


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.nano.training.train", description=__doc__
    )
    parser.add_argument("--folder", type=Path, default=Path(".checkpoints"), metavar="DIR")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--stop-at", type=int, default=recipe.total_steps(), metavar="STEP")
    parser.add_argument(
        "--from-model", type=int, metavar="STEP", help="begin with the weights of the model folder"
    )
    options = parser.parse_args(arguments)
    folder: Path = options.folder.absolute()
    checkpoint, tokenizer = folder / "checkpoint.pt", folder / "tokenizer.json"
    if options.from_model is not None:
        if checkpoint.exists():
            parser.error(f"--from-model: there is a checkpoint to go on from, {checkpoint}.")
        if options.from_model >= options.stop_at:
            parser.error(f"--from-model: step {options.stop_at:,} is the last; add a stage first.")
    elif checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, mmap=True)
        if state["tokenizer"] != fingerprint(Tokenizer.from_file(str(tokenizer))):
            parser.error(f"{checkpoint} was made with another tokenizer. Remove it to begin anew.")
    folder.mkdir(parents=True, exist_ok=True)
    if options.from_model is not None:
        shutil.copyfile(model_path() / "tokenizer.json", tokenizer)
    if not tokenizer.exists():
        parser.error(
            f"There is no {tokenizer}. `python -m tools.nano.text.make_tokenizer` makes it."
        )
    (folder / "rendezvous").unlink(missing_ok=True)
    if options.processes == 1:
        run(0, 1, folder, options.stop_at, options.from_model)
        return
    given = (options.processes, folder, options.stop_at, options.from_model)
    spawn(run, given, nprocs=options.processes)


if __name__ == "__main__":
    main()
