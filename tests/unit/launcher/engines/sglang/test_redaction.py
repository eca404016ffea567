"""What the plugin takes out of `/server_info`; tests/server asks the real route."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from launcher.engines.sglang.plugins import redaction
from launcher.names import REDACT_VARIABLE


def test_keys_and_the_command_line_are_taken_out_and_all_else_stays() -> None:
    info = {
        "api_key": "a",
        "launch_command": "--api-key a",
        "port": 8000,
        "internal_states": [{"admin_api_key": "b", "sizes": (1, 2)}],
    }
    assert redaction.redact(info, info) == {
        "api_key": None,
        "launch_command": None,
        "port": 8000,
        "internal_states": [{"admin_api_key": None, "sizes": [1, 2]}],
    }


def test_it_does_nothing_unless_the_launcher_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REDACT_VARIABLE, raising=False)
    monkeypatch.setattr(redaction, "TARGET", "no.such.place")
    redaction.activate()


def test_a_server_whose_keys_would_show_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REDACT_VARIABLE, "1")
    monkeypatch.setattr(redaction, "TARGET", "os.path.no_such_function")
    monkeypatch.setattr(redaction, "DUMP_TARGET", "os.path.no_other_function")
    with pytest.raises(SystemExit, match="server_info"):
        redaction.activate()


@pytest.mark.parametrize("as_mapping", [True, False], ids=["mapping", "ServerArgs"])
def test_a_dump_holds_the_arguments_without_the_keys(*, as_mapping: bool) -> None:
    fields = {"api_key": "a", "admin_api_key": "b", "port": 8000}
    given = fields if as_mapping else SimpleNamespace(resolved_dict=lambda: fields)
    assert redaction.redact_arguments(given, None) == {
        "api_key": None, "admin_api_key": None, "port": 8000,
    }  # fmt: skip
