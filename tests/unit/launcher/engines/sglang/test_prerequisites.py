"""Packages that an option needs are looked for before the start, not minutes into it."""

from __future__ import annotations

import pytest

from launcher.engines.sglang import prerequisites
from launcher.engines.sglang.flags import load_flag_table
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
