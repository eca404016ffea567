"""All that a supervisor needs to know, computed before it begins; crosses to a detached one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from launcher.command import Command
from launcher.config.server_config import ServerConfig
from launcher.memory.report import PlannedMemory


@dataclass(frozen=True, slots=True)
class Launch:
    """A server that passed every check.

    `keys` are what SGLang reads from the secrets file: `admin-api-key`, and `api-key` where clients
    need one. `history_key` says which earlier starts took about as long; `model_commit` is the
    commit of the repository that is served, where it is one. `planned` is None where the model's
    memory cannot be planned.
    """

    config: ServerConfig
    command: Command
    keys: dict[str, str]
    versions: dict[str, str]
    detached: bool
    history_key: str = ""
    model_commit: str | None = None
    planned: PlannedMemory | None = None

    def to_json(self) -> str:
        """For the standard input of a detached supervisor: it holds the keys, so never a file."""
        return json.dumps(
            {
                "config": self.config.model_dump(mode="json"),
                "argv": self.command.argv,
                "environment": dict(self.command.environment),
                "keys": self.keys,
                "versions": self.versions,
                "history_key": self.history_key,
                "model_commit": self.model_commit,
                "planned": self.planned.model_dump() if self.planned else None,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Launch:
        """Read back what `to_json` wrote; whoever reads it is detached."""
        fields: dict[str, Any] = json.loads(text)
        planned = fields["planned"]
        return cls(
            config=ServerConfig.model_validate(fields["config"]),
            command=Command(tuple(fields["argv"]), fields["environment"]),
            keys=fields["keys"],
            versions=fields["versions"],
            detached=True,
            history_key=fields["history_key"],
            model_commit=fields["model_commit"],
            planned=PlannedMemory.model_validate(planned) if planned else None,
        )
