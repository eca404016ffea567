"""No test here may see the developer's own servers, keys or proxies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "SPECSERVE_BASE_URL",
        "SPECSERVE_API_KEY",
        "SPECSERVE_ADMIN_KEY",
        "LAUNCHER_API_KEY",
        "OPENAI_BASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    # Must never reach our server.
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path
