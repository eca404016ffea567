"""What an engine says of itself to whoever runs it in containers: the command, probes, packages.

The launcher neither starts nor watches such a server. An orchestrator does, by what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProbePaths:
    """Routes that a probe may ask without a key.

    Attributes:
        generates: 200 once the engine answered a request of one token, or any other request since;
            answers after a second at the earliest.
        answers: 200 while the HTTP server runs, whatever the GPUs do; 503 until the engine is up.
        joined: of a server that only computes for another one: 200 once it has joined it.
        answer_seconds: the longest time that `generates` takes to say no.
    """

    generates: str
    answers: str
    joined: str
    answer_seconds: int


@dataclass(frozen=True, slots=True)
class MachineGroup:
    """Machines that serve one model together.

    Attributes:
        size: how many.
        rank: this machine's place, as the orchestrator writes it: a number or a variable.
        address: of the first machine, and the port for the start, `HOST:PORT`.
        timeout_seconds: how long each waits for the others.
    """

    size: int
    rank: str
    address: str
    timeout_seconds: int


@dataclass(frozen=True, slots=True)
class ContainerLaunch:
    """How a server is started where nobody but an orchestrator watches it.

    Attributes:
        program: what is run: the interpreter and its module.
        arguments: behind it.
        environment: variables that the server needs.
        host_variable: takes the address by which other machines reach this one.
        interface_variables: take the network interface for traffic between machines.
        keys_option: takes the file of keys, a YAML mapping with `api-key` and `admin-api-key`.
        is_offline: whether it needs nothing of the hub but the model and its draft model.
    """

    program: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    host_variable: str
    interface_variables: tuple[str, ...]
    keys_option: str
    is_offline: bool
