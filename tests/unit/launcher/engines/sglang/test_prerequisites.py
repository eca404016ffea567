"""Packages that an option needs are looked for before the start, not minutes into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.engines.sglang import prerequisites
from launcher.engines.sglang.options.flags import load_flag_table
from launcher.engines.sglang.version import VERIFIED_VERSION
from tests.unit.launcher.examples import make_config


@pytest.mark.parametrize(
    ("arguments", "module", "package"),
    [
        (("--enable-trace",), "opentelemetry", "sglang[tracing]"),
        (("--load-format", "gguf"), "gguf", "gguf"),
        (("--load-format=gguf",), "gguf", "gguf"),
        (("--page-size", "1", "--grammar-backend", "outlines"), "outlines", "outlines"),
    ],
)
def test_a_missing_package_is_named_with_its_option(
    arguments: tuple[str, ...], module: str, package: str
) -> None:
    config = make_config(extra_args=arguments)

    found = prerequisites.missing_package(config, is_installed=lambda name: name != module)

    assert found is not None
    assert module in found[0]
    assert found[1] == package
    assert prerequisites.missing_package(config, is_installed=lambda _: True) is None


@pytest.mark.parametrize(
    "arguments",
    [(), ("--grammar-backend", "xgrammar"), ("--load-format", "auto"), ("gguf",), ("--log-level",)],
)
def test_other_options_need_nothing(arguments: tuple[str, ...]) -> None:
    config = make_config(extra_args=arguments)

    assert prerequisites.missing_package(config, is_installed=lambda _: False) is None


def test_what_is_not_here_is_found_missing_without_importing_it() -> None:
    config = make_config(extra_args=("--moe-a2a-backend", "deepep"))

    assert (prerequisites.missing_package(config) is None) == (
        prerequisites._is_installed("deep_ep")
    )


def test_each_option_of_the_table_is_one_of_sglangs_with_that_value() -> None:
    table = load_flag_table(VERIFIED_VERSION)
    for option, value, _, _ in prerequisites._NEEDS:
        assert table.canonical(option) == option
        if value is not None:
            table.check(("--model-path", "m", option, value))


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("SGLANG_SORT_WEIGHT_FILES", "many", "a whole number"),
        ("SGLANG_USE_MODELSCOPE", "2", "true or false"),
        ("SGLANG_WARMUP_TIMEOUT", "1 min", "a number"),
    ],
)
def test_a_variable_that_sglang_would_pass_over_is_named_with_what_it_takes(
    variable: str, value: str, wanted: str
) -> None:
    environment = {"HOME": "/", "SGLANG_IS_IN_CI": "YES", variable: value}
    assert prerequisites.misread_variable(environment) == (variable, wanted)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SGLANG_USE_MODELSCOPE": ""},
        {"SGLANG_USE_MODELSCOPE": "No", "SGLANG_WARMUP_TIMEOUT": "-1"},
        {"SGLANG_NOBODY_KNOWS_IT": "x", "OTHER": "y"},
    ],
)
def test_a_variable_that_sglang_reads_or_does_not_know_is_no_reason(
    environment: dict[str, str],
) -> None:
    assert prerequisites.misread_variable(environment) is None


def test_another_version_that_keeps_its_variables_elsewhere_is_no_reason(tmp_path: Path) -> None:
    environment = {"SGLANG_USE_MODELSCOPE": "2"}
    assert prerequisites.misread_variable(environment, source=tmp_path / "environ.py") is None


def test_a_quantization_s_package_is_looked_for_where_a_field_names_it() -> None:
    missing = prerequisites.missing_package(
        make_config(quantization="gguf"), is_installed=lambda _: False
    )

    assert missing is not None
    assert missing[0].startswith("--quantization gguf needs the package gguf")
