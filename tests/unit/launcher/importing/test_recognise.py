"""Files of strangers that are large, deep, broken, or no launch at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.errors import SpecserveError, UnimportableError
from launcher.importing.recognise import choose, launches_of_file
from launcher.importing.translate import translate


def read(text: str, name: str = "input") -> str:
    return translate(*choose(launches_of_file(text, name, {}, None), None)).as_yaml()


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [*{before}, *{before}]}}\n"
    for before, name in zip("abcdefghijklmnopqrstuv", "bcdefghijklmnopqrstuvw", strict=True)
)


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        ("", "run.sh", "Nothing in it starts"),
        ("echo hello", "run.sh", "Nothing in it starts"),
        ("a: b", "x.yaml", "is no compose file"),
        ("services: {a: {command: sleep 1}}", "x.yaml", "Nothing in it starts"),
        ("a: [", "x.yaml", "is not YAML"),
        ("a: {{ .Values.model }}", "x.yaml", "is a template"),
        ("services: {a: {command: 'sglang serve --model-path {{m}}'}}", "x.yaml", "{{m}}"),
        (LAUGHS, "x.yaml", "more than 200,000 values"),
        (MERGES, "x.yaml", "too many keys"),
        ("[" * 2000, "x.yaml", "nested deeper"),
        ("sglang serve 'a", "run.sh", "has no end"),
        ("[Service]\nExecStart=sglang serve 'a", "x.service", "cannot be read"),
        ("sglang serve --model-path $M", "run.sh", "${M} is not filled in"),
        ("sglang serve --model-path $M --port ${P:?}", "run.sh", "${M}, ${P} are not"),
        ("sglang serve --tp 2", "run.sh", "names no model"),
        ("python -m sglang_router.launch_server --dp-size 2", "run.sh", "is a router"),
        ("sglang serve --model-path a --nnodes 2", "run.sh", "do not divide among nnodes 2"),
        ("vllm serve a --nnodes 2", "run.sh", "several machines"),
        ("sglang serve --model a --disaggregation-mode decode", "run.sh", "prefill and decode"),
        ("sglang serve --model-path a --tp x", "run.sh", "make no configuration"),
    ],
)  # fmt: skip
def test_what_becomes_no_configuration_says_why(text: str, name: str, told: str) -> None:
    with pytest.raises(UnimportableError) as caught:
        read(text, name)
    assert told in caught.value.problem
    assert "\ue000" not in caught.value.problem


@settings(max_examples=150, deadline=None)
@given(
    st.text("ab:-{}[]&*<$\"'\n #|>()", max_size=60),
    st.sampled_from(["x.yaml", "x.service", "x.sh"]),
)
def test_any_file_is_read_or_refused(text: str, name: str) -> None:
    for whole in (text, f"services:\n  a:\n    command: {text}", f"sglang serve {text}"):
        try:
            launches_of_file(whole, name, {}, None)
        except SpecserveError as error:
            assert error.action  # noqa: PT017  # either outcome is right
