"""A model's config.json, whatever bytes are in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launcher.errors import LauncherError, ModelNotFoundError, UnknownShapeError
from launcher.preflight.fit import find_shape


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", ModelNotFoundError),
        (b"\xff\xfe{", ModelNotFoundError),
        (b"[" * 100_000, ModelNotFoundError),
        (b'{"architectures": NaN}', UnknownShapeError),
        (b'["a list"]', UnknownShapeError),
        (b"null", UnknownShapeError),
        (b'{"architectures": ["LlamaForCausalLM"], "hidden_size": 1e999}', UnknownShapeError),
    ],
)
def test_a_file_that_is_no_model_s_is_refused(
    tmp_path: Path, content: bytes, error: type[LauncherError]
) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(error) as caught:
        find_shape(str(tmp_path))

    assert caught.value.action


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_error_of_the_project(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(LauncherError):
        find_shape(str(tmp_path))
