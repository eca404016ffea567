"""The training: steps lower the loss, a stopped run goes on the same, the optimizer's parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
import torch
from tokenizers import Tokenizer

from launcher.nano.folder import model_path
from tools.nano import export, recipe, train
from tools.nano.optimizer import orthogonal
from tools.nano.shape import SHAPE
from tools.nano.train import Trainer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL: Final = replace(SHAPE, layers=2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread, as each process of the training has: more are far slower on small matrices."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """A trainer of a small model on a few tokens, the NextN layer with it."""
    stage = recipe.Stage(100, {"sums": 1.0, "tool": 0.2}, draft=True, tokens=400)
    monkeypatch.setattr(recipe, "STAGES", (stage,))
    monkeypatch.setattr(recipe, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(recipe, "DECAY_STEPS", 1)
    return make()


def make() -> Trainer:
    tokenizer = Tokenizer.from_file(str(model_path() / "tokenizer.json"))
    return Trainer(tokenizer, shape=SMALL)


def test_steps_lower_the_loss(trainer: Trainer) -> None:
    figures = [trainer.step() for _ in range(15)]
    assert figures[-1]["loss"] < 0.95 * figures[0]["loss"]
    assert all(1.0 <= one["accepted"] <= 4.0 for one in figures)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    trainer: Trainer, tmp_path: Path
) -> None:
    trainer.step()
    trainer.save(tmp_path)
    resumed = make()
    assert resumed.load(tmp_path)
    for _ in range(2):
        assert trainer.step() == resumed.step()
    assert trainer.tokens == resumed.tokens
    for one, other in zip(trainer.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_begins_with_the_weights_that_there_are(trainer: Trainer, tmp_path: Path) -> None:
    export.write_weights(trainer.model, tmp_path / "model.safetensors")
    begun = make()
    begun.begin(tmp_path, 40)
    for one, other in zip(trainer.model.parameters(), begun.model.parameters(), strict=True):
        assert torch.equal(one.bfloat16().float(), other)
    assert begun.step_number == 40
    begun.step()
    begun.save(tmp_path)
    assert trainer.load(tmp_path)
    assert (trainer.step_number, trainer.begun) == (41, 40)


def test_without_a_checkpoint_it_begins_anew(trainer: Trainer, tmp_path: Path) -> None:
    assert not trainer.load(tmp_path)


def test_a_step_moves_both_models(trainer: Trainer) -> None:
    before = {name: one.clone() for name, one in trainer.model.named_parameters()}
    trainer.step()
    moved = {
        name.split(".")[0]
        for name, one in trainer.model.named_parameters()
        if not torch.equal(one, before[name])
    }
    assert moved == {"embedding", "layers", "norm", "head", "nextn"}


def test_orthogonal_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape_ in ((2, 8, 20), (2, 20, 8)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape_), 8))
        assert ((values > 0.6) & (values < 1.4)).all()


def test_the_schedule_rises_stays_and_falls() -> None:
    total = recipe.total_steps()
    rates = [recipe.rate_at(step) for step in range(total)]
    assert rates[0] < 0.1
    assert rates[recipe.WARM_UP_STEPS] == 1.0
    assert rates[total - recipe.DECAY_STEPS // 2] == pytest.approx(0.525, abs=0.01)
    assert rates[-1] < 0.06
    assert recipe.rate_at(recipe.WARM_UP_STEPS + 9, recipe.WARM_UP_STEPS) == pytest.approx(
        10 / recipe.WARM_UP_STEPS
    )


def test_each_step_belongs_to_its_stage() -> None:
    assert recipe.stage_at(0) is recipe.STAGES[0]
    assert recipe.stage_at(recipe.STAGES[0].steps) is recipe.STAGES[1]
    assert recipe.stage_at(recipe.total_steps() + 5) is recipe.STAGES[-1]
    assert recipe.STAGES[-1].draft


def test_a_checkpoint_of_another_tokenizer_is_refused(
    trainer: Trainer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer.save(tmp_path)
    monkeypatch.setattr(train, "fingerprint", lambda: "another")
    with pytest.raises(SystemExit):
        train.main(["--folder", str(tmp_path)])
    assert "another tokenizer" in capsys.readouterr().err


def test_beginning_from_the_weights_beside_a_checkpoint_is_refused(
    trainer: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.save(tmp_path)
    with pytest.raises(SystemExit):
        train.main(["--folder", str(tmp_path), "--from-model", "3"])
    assert "there is a checkpoint" in capsys.readouterr().err


def test_beginning_behind_the_last_step_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = str(recipe.total_steps())
    with pytest.raises(SystemExit):
        train.main(["--folder", str(tmp_path), "--from-model", last])
    assert "add a stage" in capsys.readouterr().err
