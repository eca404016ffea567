"""Hooks hold wherever a function is called from, or none of them is put in place."""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any

import pytest

from launcher.engines.sglang.plugins import hooks


def add(first: int, second: int) -> int:
    return first + second


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of the engine's, another that has imported from it, and a stranger's."""
    defining = types.ModuleType("sglang.defining")
    importing = types.ModuleType("sglang.importing")
    stranger = types.ModuleType("stranger")
    function = types.FunctionType(add.__code__, globals(), "add")
    own = type("Adder", (), {"add": lambda _, first, second: first + second, "make": None})
    own.make = classmethod(lambda cls: cls())  # type: ignore[attr-defined]
    child = type("Child", (own,), {})
    defining.__dict__.update(add=function, Adder=own, Child=child, number=7)
    importing.__dict__.update(plus=function)
    stranger.__dict__.update(add=function)
    package = types.ModuleType("sglang")
    package.__dict__.update(defining=defining)
    monkeypatch.setitem(sys.modules, "sglang", package)
    for module in (defining, importing, stranger):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return defining


def doubled(result: int, *_: object, **__: object) -> int:
    return 2 * result


def test_a_function_is_hooked_wherever_the_engine_has_imported_it(
    engine: types.ModuleType,
) -> None:
    hooks.install({"sglang.defining.add": (doubled, "AFTER")})
    importing: Any = sys.modules["sglang.importing"]
    stranger: Any = sys.modules["stranger"]
    assert engine.add(1, 2) == 6
    assert importing.plus(1, second=2) == 6
    assert stranger.add(1, 2) == 3
    assert hooks.is_hooked("sglang.defining.add")


def test_a_method_is_hooked_for_each_instance(engine: types.ModuleType) -> None:
    one = engine.Adder()

    def around(original: Any, adder: object, first: int, second: int) -> Any:
        assert adder is one
        return [original(adder, first, second)]

    hooks.install({"sglang.defining.Adder.add": (around, "AROUND")})
    assert one.add(1, 2) == [3]


def test_what_a_class_makes_and_what_is_static_stays_that(engine: types.ModuleType) -> None:
    engine.Adder.fixed = staticmethod(lambda: 3)
    hooks.install(
        {
            "sglang.defining.Adder.make": (lambda made, cls: (made, cls), "AFTER"),
            "sglang.defining.Adder.fixed": (doubled, "AFTER"),
        }
    )
    made, cls = engine.Child.make()
    assert isinstance(made, engine.Child)
    assert cls is engine.Child
    assert engine.Adder().fixed() == 6


def test_the_kinds(engine: types.ModuleType) -> None:
    hooks.install({"sglang.defining.add": (lambda *_, **__: None, "AFTER")})
    assert engine.add(1, 2) == 3
    hooks.install({"sglang.defining.add": (lambda *numbers: numbers, "REPLACE")})
    assert engine.add(1, 2) == (1, 2)


def test_two_hooks_on_one_target_both_hold(engine: types.ModuleType) -> None:
    hooks.install({"sglang.defining.add": (doubled, "AFTER")})
    hooks.install({"sglang.defining.add": (doubled, "AFTER")})
    importing: Any = sys.modules["sglang.importing"]
    assert engine.add(1, 2) == importing.plus(1, 2) == 12


@pytest.mark.parametrize(
    "target",
    [
        "sglang.defining.gone",
        "sglang.defining.number",
        "sglang.defining.Adder",
        "sglang.defining.Child.add",
        "sglang.gone.add",
    ],
)
def test_where_one_has_no_target_none_is_put_in_place(
    engine: types.ModuleType, target: str
) -> None:
    with pytest.raises((AttributeError, ImportError, RuntimeError)):
        hooks.install({"sglang.defining.add": (doubled, "AFTER"), target: (doubled, "AFTER")})
    assert engine.add(1, 2) == 3
    assert not hooks.is_hooked("sglang.defining.add")


def test_a_wrapped_function_keeps_its_name_and_signature(engine: types.ModuleType) -> None:
    hooks.install({"sglang.defining.add": (doubled, "AFTER")})
    assert engine.add.__name__ == "add"
    assert list(inspect.signature(engine.add).parameters) == ["first", "second"]
