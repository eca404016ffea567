"""The training: steps lower the loss, a stopped run goes on the same, the optimizer's parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
import torch
from tokenizers import Tokenizer

from tools.nano.model import export
from tools.nano.model.shape import SHAPE
from tools.nano.training import batches, recipe, train
from tools.nano.training.optimizer import orthogonal
from tools.nano.training.train import Trainer

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
def trainer(monkeypatch: pytest.MonkeyPatch, plain_tokenizer: Tokenizer) -> Trainer:
    """A trainer of a small model on a few tokens."""
    stage = recipe.Stage(100, {"sums": 1.0, "tree": 0.05}, main=True, tokens=400)
    monkeypatch.setattr(recipe, "STAGES", (stage,))
    monkeypatch.setattr(recipe, "WARM_UP_STEPS", 1)
    monkeypatch.setattr(recipe, "LEAST_RATE", 1.0)
    return make(plain_tokenizer)


def make(tokenizer: Tokenizer) -> Trainer:
    return Trainer(tokenizer, shape=SMALL)


def test_steps_lower_the_loss(trainer: Trainer) -> None:
    figures = [trainer.step() for _ in range(15)]
    assert figures[-1]["loss"] < 0.95 * figures[0]["loss"]


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    trainer: Trainer, tmp_path: Path
) -> None:
    trainer.step()
    trainer.save(tmp_path)
    resumed = make(trainer.tokenizer)
    assert resumed.load(tmp_path)
    for _ in range(2):
        assert trainer.step() == resumed.step()
    assert trainer.tokens == resumed.tokens
    for one, other in zip(trainer.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_begins_with_the_weights_that_there_are(trainer: Trainer, tmp_path: Path) -> None:
    export.write_weights(trainer.model, tmp_path / "model.safetensors")
    begun = make(trainer.tokenizer)
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


def moved_by_a_step(trainer: Trainer) -> set[str]:
    before = {name: one.clone() for name, one in trainer.model.state_dict().items()}
    trainer.step()
    return {
        name.split(".")[0]
        for name, one in trainer.model.state_dict().items()
        if not torch.equal(one, before[name])
    }


def test_a_step_moves_the_main_model_alone(trainer: Trainer) -> None:
    assert moved_by_a_step(trainer) == {"embedding", "layers", "norm", "head"}


def test_a_step_of_the_draft_moves_the_draft_alone(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = recipe.Stage(100, {"sums": 1.0}, main=False, tokens=300)
    monkeypatch.setattr(recipe, "STAGES", (stage,))
    monkeypatch.setattr(batches, "OWN_AT_ONCE", 2)
    monkeypatch.setattr(batches, "OWN_TOKENS", (8,))
    assert moved_by_a_step(trainer) == {"nextn"}
    assert all(1.0 <= trainer.step()["accepted"] <= 4.0 for _ in range(2))


def test_orthogonal_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape_ in ((2, 8, 20), (2, 20, 8)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape_), 8))
        assert ((values > 0.6) & (values < 1.4)).all()


def test_the_schedule_rises_and_falls_twice() -> None:
    total = recipe.total_steps()
    rates = [recipe.rate_at(step) for step in range(total)]
    assert rates[0] < 0.1
    assert max(rates) > 0.97
    main = sum(stage.steps for stage in recipe.STAGES if stage.main)
    assert rates[main - 1] < 0.05
    assert rates[main + recipe.WARM_UP_STEPS] > 0.6  # the draft's own line begins anew
    assert rates[-1] < 0.05
    assert recipe.rate_at(recipe.WARM_UP_STEPS + 9, recipe.WARM_UP_STEPS) == pytest.approx(
        10 / recipe.WARM_UP_STEPS
    )


def test_each_step_belongs_to_its_stage() -> None:
    assert recipe.stage_at(0) is recipe.STAGES[0]
    assert recipe.stage_at(recipe.STAGES[0].steps) is recipe.STAGES[1]
    assert recipe.stage_at(recipe.total_steps() + 5) is recipe.STAGES[-1]
    assert not recipe.STAGES[-1].main


def test_a_checkpoint_of_another_tokenizer_is_refused(
    trainer: Trainer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer.save(tmp_path)
    trainer.tokenizer.save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr(train, "fingerprint", lambda _: "another")
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


def test_without_a_tokenizer_it_says_what_makes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train.main(["--folder", str(tmp_path)])
    assert "make_tokenizer" in capsys.readouterr().err
