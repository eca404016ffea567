"""Where the launcher keeps what it knows, in the user's state folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import platformdirs

APPLICATION: Final = "specserve"


def servers_root() -> Path:
    """The folder that holds one folder per server name."""
    return platformdirs.user_state_path(APPLICATION) / "servers"


def fleets_root() -> Path:
    """The folder that holds one folder per fleet name."""
    return platformdirs.user_state_path(APPLICATION) / "fleets"
