"""Where requests go."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.errors import TargetError
from clients import NotThatServerError
from clients.http.local.own_server import OwnServer


@dataclass(frozen=True, slots=True)
class Target:
    """A server.

    Attributes:
        base_url: scheme, host and port, without `/v1` and without a slash at the end.
        model: what requests call the model.
        api_key: never shown.
        own: proves that the port is the server's, where the launcher has started it for us.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    own: OwnServer | None = field(default=None, repr=False, compare=False)

    def check(self) -> None:
        """Look whether the server itself listens, before a key is sent there.

        Raises:
            TargetError: it does not.
        """
        if self.own is None:
            return
        try:
            self.own.check()
        except NotThatServerError as error:
            raise TargetError(error.problem, action=error.action) from error
