"""Outputs are graded at their first divergent token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.analysis.equality import NEAR_TIE_NATS, compare_answers, grade, whole_characters
from benchmarks.analysis.figures import AnswerComparison
from benchmarks.records import ScoredAnswer
from tests.unit.benchmarks.analysis_records import request, scored

SURE = {"The": -0.01}
PLAIN = scored("plain", [("The", SURE), ("cat", {"cat": -0.7, "dog": -0.9, "cow": -3.0})])


def eagle(*texts: str) -> ScoredAnswer:
    return scored("eagle", [(text, {text: -0.1}) for text in texts])


def graded(candidate: ScoredAnswer, baseline: ScoredAnswer = PLAIN) -> AnswerComparison:
    return compare_answers(baseline, candidate, NEAR_TIE_NATS)


def test_the_same_tokens_are_the_same_text() -> None:
    found = graded(eagle("The", "cat"))

    assert found.grade == "same text"
    assert (found.first_divergent_token, found.gap_nats) == (None, None)


def test_the_same_text_cut_into_other_tokens_is_the_same_text() -> None:
    assert graded(eagle("Th", "ecat")).grade == "same text"


def test_a_token_almost_as_likely_is_a_near_tie() -> None:
    found = graded(eagle("The", "dog"))

    assert found.grade == "near tie"
    assert found.first_divergent_token == 1
    assert (found.baseline_token, found.candidate_token) == ("cat", "dog")
    assert found.gap_nats == pytest.approx(0.2)


def test_a_token_much_less_likely_is_a_true_difference() -> None:
    found = graded(eagle("The", "cow"))

    assert found.grade == "true difference"
    assert found.gap_nats == pytest.approx(2.3)


def test_the_gap_of_a_near_tie_is_given_by_whoever_asks() -> None:
    assert compare_answers(PLAIN, eagle("The", "dog"), 0.1).grade == "true difference"
    assert compare_answers(PLAIN, eagle("The", "cow"), 2.5).grade == "near tie"


def test_only_the_first_divergent_token_counts() -> None:
    plain = scored(
        "plain", [("a", {"a": -0.5, "b": -0.6}), ("x", {"x": -0.1, "y": -9.0}), ("z", {"z": 0.0})]
    )

    found = graded(eagle("b", "y", "z"), plain)

    assert (found.grade, found.first_divergent_token) == ("near tie", 0)


def test_a_token_below_all_alternatives_is_a_true_difference_where_these_are_far() -> None:
    found = graded(eagle("The", "eel"))

    assert (found.grade, found.gap_nats) == ("true difference", None)


def test_a_token_below_all_alternatives_is_not_scored_where_these_are_near() -> None:
    plain = scored("plain", [("cat", {"cat": -1.0, "dog": -1.1})])

    assert graded(eagle("eel"), plain).grade == "not scored"
    assert graded(eagle("eel"), scored("plain", [("cat", {})])).grade == "not scored"


def test_a_baseline_that_chose_a_much_less_likely_token_is_no_near_tie() -> None:
    # As when a grammar forbids what the model would rather say.
    plain = scored("plain", [("{", {"{": -5.0, "The": -0.1})])

    assert graded(eagle("The"), plain).grade == "true difference"


@pytest.mark.parametrize(
    ("texts", "tokens"), [(("The",), ("cat", None)), (("The", "cat", "!"), (None, "!"))]
)
def test_an_answer_that_ended_earlier_diverges_at_its_end(
    texts: tuple[str, ...], tokens: tuple[str | None, str | None]
) -> None:
    found = graded(eagle(*texts))

    assert found.grade == "true difference"
    assert found.first_divergent_token == min(len(texts), 2)
    assert (found.baseline_token, found.candidate_token) == tokens


def test_the_noise_floor_is_the_baseline_against_itself() -> None:
    again = scored("plain", [("The", SURE), ("dog", {"dog": -0.8})], repetition=1)

    found = grade([PLAIN, again, eagle("The", "cat")], [], baseline="plain", candidate="eagle")

    assert [one.grade for one in found.answers] == ["same text"]
    assert [one.grade for one in found.noise_floor] == ["near tie"]
    assert found.near_tie_nats == NEAR_TIE_NATS


def test_without_a_second_answer_there_is_no_noise_floor() -> None:
    found = grade([PLAIN, eagle("The", "cat")], [], baseline="plain", candidate="eagle")

    assert found.noise_floor == ()


def test_an_answer_that_is_missing_is_not_scored() -> None:
    other = scored("ngram", [("The", SURE)], prompt="p1")

    found = grade([PLAIN, other], [], baseline="plain", candidate="eagle")

    assert [(one.prompt_id, one.grade) for one in found.answers] == [("p0", "not scored")]


def test_timed_answers_are_compared_prompt_by_prompt_in_the_same_round() -> None:
    requests = [
        request("plain", "a", 0, answer="x"),
        request("eagle", "a", 0, answer="x"),
        request("plain", "a", 1, answer="x"),
        request("eagle", "a", 1, answer="y"),
        request("plain", "b", 0, answer="x"),
        request("eagle", "b", 1, answer="x"),
        request("plain", "c", 0, answer="x"),
        request("eagle", "c", 0, answer="x", outcome="incomplete"),
        request("ngram", "a", 0, answer="x"),
    ]

    found = grade([], requests, baseline="plain", candidate="eagle")

    assert (found.timed_same, found.timed_pairs) == (1, 2)


def test_prompts_that_the_servers_made_other_tokens_of_are_counted() -> None:
    requests = [
        request("plain", "a", 0, prompt_tokens=12),
        request("eagle", "a", 0, prompt_tokens=11),
        request("plain", "b", 0, prompt_tokens=12),
        request("eagle", "b", 0, prompt_tokens=12),
        request("plain", "c", 0, prompt_tokens=12),
        request("eagle", "c", 0),
    ]

    assert grade([], requests, baseline="plain", candidate="eagle").other_prompts == 1


def test_a_candidate_that_answered_twice_has_a_noise_floor_of_its_own() -> None:
    first = eagle("The", "dog")
    again = replace(first, repetition=1)

    found = grade([PLAIN, first, again], [], baseline="plain", candidate="eagle")

    assert [one.grade for one in found.answers] == ["near tie"]
    assert [one.grade for one in found.candidate_noise_floor] == ["same text"]
    assert found.noise_floor == ()


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        # As SGLang and as vLLM give one character that is two tokens.
        (("Bac", "\\xc3", "\\xad", "a"), ("Bac", "í", "a")),
        (("Bac", "", "í", "a"), ("Bac", "í", "a")),
        (("\\xf0\\x9f", "\\x99", "\\x82"), ("🙂",)),
        (("", "", "🙂"), ("🙂",)),
        # What is no character stays as it is.
        (("a", "\\xc3"), ("a", "\\xc3")),
        (("\\xc3", "a", "b"), ("\\xc3", "a", "b")),
        (("a", ""), ("a", "")),
        ((), ()),
    ],
)
def test_parts_of_a_character_are_put_together(
    texts: tuple[str, ...], whole: tuple[str, ...]
) -> None:
    tokens = scored("plain", [(text, {text: -0.1}) for text in texts]).tokens

    assert tuple(one.text for one in whole_characters(tokens)) == whole


def test_a_character_in_parts_is_the_same_text_however_an_engine_writes_it() -> None:
    plain = scored("plain", [("c", SURE), ("\\xc3", SURE), ("\\xad", SURE)])

    assert graded(eagle("c", "", "í"), plain).grade == "same text"
