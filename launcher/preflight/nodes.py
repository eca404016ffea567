"""What is checked, and told to the other machines, before several of them start together."""

from __future__ import annotations

import hashlib
from pathlib import Path

from launcher.config.server_config import ServerConfig
from launcher.engines.launch import Command
from launcher.errors import InvalidValueError, PortInUseError
from launcher.nodes.facts import NodeFacts, common_arguments, model_digest
from launcher.nodes.network import meeting_place
from launcher.preflight.facts import ServedModels, ServingFacts
from launcher.system.ports import check_port_is_free


def check_nodes(facts: ServingFacts) -> None:
    """Look at this machine's way to the others: interface, address, and on machine 0 the ports.

    Raises:
        InvalidValueError: see `find_network`; or the options do not go with several machines.
        PortInUseError: somebody listens where the machines are to meet.
    """
    config = facts.config
    if facts.network is None:
        return
    if config.discovery_file is not None and config.is_follower:
        raise InvalidValueError(
            f"discovery_file is set on machine {config.node_rank}, and clients ask machine 0.",
            action="Give --discovery-file on machine 0 alone.",
        )
    if config.node_rank == 0:
        place = meeting_place(config)
        for port in (place.port, place.link_port):
            try:
                check_port_is_free(place.host, port)
            except PortInUseError as error:
                raise PortInUseError(
                    error.problem,
                    action="Stop that process, or choose another port in --dist-init-addr, on "
                    "each machine.",
                ) from error


def node_facts(facts: ServingFacts, models: ServedModels, command: Command) -> NodeFacts | None:
    """What has to be the same on all machines; None where one serves alone."""
    config = facts.config
    if config.nnodes == 1:
        return None
    served = models.put_into(config)
    draft = served.speculative_draft_model_path
    own_draft = config.speculative_algorithm is not None and draft not in (None, served.model_path)
    return NodeFacts(
        rank=config.node_rank,
        nodes=config.nnodes,
        versions=facts.engine.versions(),
        model=model_digest(models.commit, Path(served.model_path)),
        draft=model_digest(models.draft.commit if models.draft else None, Path(str(draft)))
        if own_draft
        else "",
        files=_files(config),
        arguments=common_arguments(command.server_arguments),
    )


def _files(config: ServerConfig) -> dict[str, str]:
    """Digests of files that options name, and that decide what the ranks compute."""
    file = config.speculative_adaptive_config
    if file is None or config.speculative_algorithm is None:
        return {}
    # Its size was checked with its content.
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return {"speculative_adaptive_config": f"file {digest}"}
