"""Errors of machines that serve together: who is missing, what differs, who ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from launcher.config.server_config import ServerConfig
from launcher.diagnosis.failures import Facts
from launcher.errors import (
    LauncherError,
    NodeMissingError,
    NodesDisagreeError,
    PortInUseError,
    ServerExitedError,
)
from launcher.text import human_seconds


def missing(config: ServerConfig, ranks: Sequence[int], *, seconds: float) -> NodeMissingError:
    """The error for machines that did not come.

    Args:
        config: of this machine.
        ranks: their numbers, as far as this machine knows.
        seconds: how long they were waited for.
    """
    waited = f"within {human_seconds(seconds)} (allowed: {config.dist_timeout_seconds} s)"
    if config.is_follower and 0 in ranks:
        return NodeMissingError(
            f"Machine 0 was not to be reached at {config.dist_init_addr} {waited}.",
            action="See that `up` runs there with the same --dist-init-addr, and that no firewall "
            "closes that port, or the one below it.",
        )
    numbers = " and ".join(map(str, ranks))
    return NodeMissingError(
        f"Of {config.nnodes} machines {config.nnodes - len(ranks)} were ready {waited}; missing: "
        f"machine {numbers}.",
        action="Start it there: the same command with its own --node-rank; and see that no "
        f"firewall closes {config.dist_init_addr} or the port below it.",
    )


def disagree(problems: Sequence[str]) -> NodesDisagreeError:
    """The error for machines that cannot serve together; `problems` are clauses."""
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return NodesDisagreeError(
        f"The machines differ: {problems[0]}{more}.",
        action="Give each machine the same versions, the same model and the same options.",
        evidence=tuple(problems),
    )


def ended(facts: Facts, rank: int, problem: str) -> LauncherError:
    """The error for a server without which this one cannot go on."""
    return ServerExitedError(
        f"The server of machine {rank} ended, and this one was ended with it {facts.when}, after "
        f"{human_seconds(facts.seconds)}. There: {problem}",
        action=f"Look there: `python -m launcher logs --name {facts.name}` on machine {rank}.",
        evidence=facts.evidence,
    )


def leader_gave_up(problem: str) -> LauncherError:
    """The error for a machine whose machine 0 starts no more."""
    return ServerExitedError(
        f"Machine 0 has given up. There: {problem}",
        action="Mend it there, and start each machine again.",
    )


def cannot_listen(config: ServerConfig, error: OSError) -> PortInUseError:
    """The error for machine 0 where the others cannot reach its supervisor."""
    return PortInUseError(
        f"The supervisor cannot listen below {config.dist_init_addr} for the other machines: "
        f"{error.strerror}.",
        action="Choose another port in --dist-init-addr, on each machine.",
    )
