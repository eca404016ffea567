"""SGLang's own arguments that become fields, and what contradicts them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.config.sources import ResolvedConfig, resolve
from launcher.engines.select import default_engine, version_of
from launcher.errors import ConfigError, SecretInArgumentsError, UnknownFlagError

MODEL = "/models/a"


def resolved(*arguments: str, **flags: Any) -> ResolvedConfig:
    engine = default_engine()
    return resolve(
        flags={"model_path": MODEL, "device": "cpu", **flags, "extra_args": arguments},
        take_over=lambda _: lambda given_: engine.take_over(given_, version_of(engine)),
    )


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (("--tp", "4"), "tp_size", 4),
        (("--tp-size=4",), "tp_size", 4),
        (("--tensor-parallel-size", "4"), "tp_size", 4),
        (("--mem-fraction", "0.8"), "mem_fraction_static", 0.8),
        (("--speculative-algo", "NGRAM"), "speculative_algorithm", "NGRAM"),
        (("--enable-cache-report",), "enable_cache_report", True),
        (("--port", "9000", "--port=9000"), "port", 9000),
        (("--context-length", "160k"), "context_length", 160_000),
        (("--max-total-tokens=128Ki",), "max_total_tokens", 131_072),
        (("--context-length", "25.6k"), "context_length", 25_600),
    ],
)
def test_every_spelling_is_taken_over(
    arguments: tuple[str, ...], field: str, value: object
) -> None:
    found = resolved(*arguments)
    assert getattr(found.config, field) == value
    assert found.config.extra_args == ()
    assert {one.field for one in found.taken} == {field}


def test_what_has_no_field_stays() -> None:
    found = resolved("--schedule-policy", "fcfs", "--tp", "2", "--lora-paths", "a=b", "c")
    assert found.config.extra_args == ("--schedule-policy", "fcfs", "--lora-paths", "a=b", "c")
    assert found.config.tp_size == 2


def test_a_weaker_source_gives_way() -> None:
    engine = default_engine()
    found = resolve(
        environment={"SPECSERVE_EXTRA_ARGS": "--port 1111 --tp 2", "SPECSERVE_MODEL_PATH": MODEL},
        flags={"port": "2222", "device": "cpu"},
        take_over=lambda _: lambda given_: engine.take_over(given_, version_of(engine)),
    )
    assert (found.config.port, found.config.tp_size) == (2222, 2)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SecretInArgumentsError) as caught:
        resolved(
            "--tp", "4", "--port=1", "--port", "2", "--api-key", "hidden", "--foo", tp_size="2"
        )
    for part in ("--tp '4'", "tp_size (flag) is '2'", "--port '1', and then --port '2'",
                 "--api-key would show a secret", "no option --foo"):  # fmt: skip
        assert part in caught.value.problem
    assert "hidden" not in caught.value.problem


def test_an_option_that_is_unset_contradicts() -> None:
    with pytest.raises(ConfigError, match="is unset"):
        resolved("--speculative-algorithm", "EAGLE", speculative_algorithm=None)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--use-ray",), ConfigError),
        (("--disaggregation-mode", "prefill"), ConfigError),
        (("--cuda-graph-max-bs", "8"), UnknownFlagError),
        (("free",), UnknownFlagError),
    ],
)
def test_what_the_server_is_not_given(arguments: tuple[str, ...], error: type[Exception]) -> None:
    engine = default_engine()
    refused = engine.take_over(arguments, version_of(engine)).refused
    assert [type(one) for one in refused] == [error]


@pytest.mark.parametrize("arguments", [("--nnodes", "1"), ("--node-rank=0",)])
def test_the_default_of_one_machine_is_no_harm(arguments: tuple[str, ...]) -> None:
    engine = default_engine()
    assert engine.take_over(arguments, version_of(engine)).refused == ()


OPTIONS: dict[str, tuple[list[str], list[str | None]]] = {
    "tp_size": (["--tp", "--tp-size", "--tensor-parallel-size"], ["1", "2"]),
    "port": (["--port"], ["8000", "9000"]),
    "mem_fraction_static": (["--mem-fraction-static", "--mem-frac"], ["0.5", "0.50", "0.7"]),
    "kv_cache_dtype": (["--kv-cache-dtype"], ["auto", "fp8_e5m2"]),
    "enable_cache_report": (["--enable-cache-report"], [None]),
    "": (["--schedule-policy"], ["fcfs", "lpm"]),
}


@st.composite
def given_options(draw: st.DrawFn) -> list[tuple[str, str, str | None, str]]:
    """Fields with a spelling, a value, and the source in which they stand."""
    made = []
    for field in draw(st.lists(st.sampled_from(list(OPTIONS)), max_size=6)):
        spellings, values = OPTIONS[field]
        source = draw(
            st.sampled_from(["after", "after", "flag", "variable"] if field else ["after"])
        )
        made.append(
            (field, draw(st.sampled_from(spellings)), draw(st.sampled_from(values)), source)
        )
    return made


@settings(max_examples=150, deadline=None)
@given(given_options())
def test_any_mixture_is_one_configuration_or_one_list_of_complaints(
    options: list[tuple[str, str, str | None, str]],
) -> None:
    flags: dict[str, Any] = {"model_path": MODEL, "device": "cpu"}
    variables: dict[str, str] = {}
    after: list[str] = []
    strongest: dict[str, set[float | str]] = {}
    for field, spelling, value, source in options:
        text = value or "true"
        if source == "flag":
            flags[field] = text
        elif source == "variable":
            variables[f"SPECSERVE_{field.upper()}"] = text
        else:
            after += [spelling] if value is None else [spelling, value]
    for field, _, value, source in options:
        if source == "after" and field:
            strongest.setdefault(field, set()).add(_number(value or "true"))
    for field in list(strongest):
        if field in flags:
            strongest[field].add(_number(flags[field]))
    engine = default_engine()
    contradicted = {field for field, values in strongest.items() if len(values) > 1}

    def read() -> ResolvedConfig:
        return resolve(
            environment=variables,
            flags=flags | {"extra_args": tuple(after)},
            take_over=lambda _: lambda given_: engine.take_over(given_, version_of(engine)),
        )

    if contradicted:
        with pytest.raises(ConfigError) as caught:
            read()
        told = caught.value.problem
        assert all(any(name in told for name in OPTIONS[field][0]) for field in contradicted)
        return
    found = read()
    for field, values in strongest.items():
        assert _number(str(getattr(found.config, field)).lower()) in values
    assert all(not word.startswith(("--tp", "--port", "--mem")) for word in found.config.extra_args)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
