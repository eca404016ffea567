"""One server's answers against another's: what may take whose place."""

from __future__ import annotations

import pytest

from launcher.engines.prober import Completion
from launcher.fleet.questions import acceptance_length, ask, grade


def answers(*texts: str, verifies: int | None = 16) -> list[Completion]:
    return [Completion(text, 48, verifies) for text in texts]


def test_the_same_answers_are_as_good() -> None:
    found = grade(answers("one", "two"), answers("one", "two"))
    assert (found.agreement, found.same, found.asked) == (1.0, 2, 2)
    assert found.acceptance == pytest.approx(3.0)
    assert found.why_worse(same_model=True) is None


def test_answers_that_part_late_are_still_the_same_model() -> None:
    found = grade(answers("0123456789", "same"), answers("01234567xx", "same"))
    assert found.agreement == pytest.approx(0.9)
    assert found.why_worse(same_model=True) is None


def test_answers_that_part_at_once_are_another_models() -> None:
    found = grade(answers("abc", "def"), answers("xyz", "dxx"))
    reason = found.why_worse(same_model=True)
    assert reason is not None
    assert "0 of 2 answers are the same" in reason
    assert found.why_worse(same_model=False) is None


def test_drafts_that_are_accepted_less_are_worse_whatever_the_model() -> None:
    found = grade(answers("a"), answers("a", verifies=24))
    for same_model in (True, False):
        reason = found.why_worse(same_model=same_model)
        assert reason is not None
        assert "2.00, before 3.00" in reason


@pytest.mark.parametrize(("before", "after"), [(None, 16), (16, None), (None, None)])
def test_without_speculation_on_one_side_acceptance_says_nothing(
    before: int | None, after: int | None
) -> None:
    found = grade(answers("a", verifies=before), answers("a", verifies=after))
    assert found.why_worse(same_model=True) is None


def test_an_answer_that_is_cut_agrees_as_far_as_it_goes() -> None:
    assert grade(answers("abcd"), answers("ab")).agreement == pytest.approx(0.5)
    assert grade(answers(""), answers("")).agreement == 1.0


def test_acceptance_is_over_all_answers() -> None:
    assert acceptance_length([Completion("", 40, 10), Completion("", 20, 20)]) == pytest.approx(2.0)
    assert acceptance_length([]) is None


def test_each_prompt_is_asked_once() -> None:
    asked: list[str] = []

    class Server:
        def complete(self, prompt: str, tokens: int, *, timeout_seconds: float) -> Completion:
            asked.append(prompt)
            assert timeout_seconds > 0
            return Completion(prompt, tokens, None)

    assert [answer.text for answer in ask(Server(), ("a", "b"))] == asked == ["a", "b"]
