"""The pod of a server: download, probes, volumes, stop. Pure.

docs/exporting.md says what each probe is for, and why three.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, Literal

from launcher.engines.containers import ContainerLaunch, MachineGroup
from launcher.exporting.download import download_command, offline
from launcher.exporting.kubernetes.pods import (
    ClaimSource,
    Container,
    ContainerPort,
    EmptyDir,
    Exec,
    FieldSelector,
    Handler,
    HttpGet,
    KeySelector,
    Labels,
    Lifecycle,
    Metadata,
    PodSecurity,
    PodSpec,
    PodTemplate,
    Probe,
    Resources,
    SecretItem,
    SecretSource,
    Source,
    Variable,
    Volume,
    VolumeMount,
)
from launcher.exporting.request import Export
from launcher.exporting.timing import (
    ALIVE_FAILURES,
    ALIVE_PERIOD_SECONDS,
    ALIVE_STOP_SECONDS,
    ALIVE_TIMEOUT_SECONDS,
    BEFORE_STOP_SECONDS,
    STARTING_PERIOD_SECONDS,
    timing_of,
)
from launcher.memory.host import engine_host_bytes
from launcher.system.hardware import GIB

Part = Literal["server", "leader", "worker", "gateway"]

PORT_NAME: Final = "http"
STORAGE: Final = "storage"
STORAGE_PATH: Final = "/var/lib/specserve"
HUB_PATH: Final = f"{STORAGE_PATH}/huggingface"
HOME_PATH: Final = f"{STORAGE_PATH}/home"
KEYS: Final = "keys"
KEYS_PATH: Final = "/run/secrets/specserve"
API_KEY: Final = "api-key"
HUB_TOKEN: Final = "token"  # noqa: S105  # an entry's name
SHARED_MEMORY: Final = "shared-memory"
# NCCL's and torch's segments; SGLang's own examples give a pod 10 GiB, and a container 32.
SHARED_MEMORY_SIZE: Final = "16Gi"
_OWNER_AND_GROUP: Final = 0o440
# A scheduler's thread for each rank turns all the time; one for HTTP, one for the detokenizer.
_OTHER_PROCESSORS: Final = 2


def labels_of(export: Export, part: Part) -> Labels:
    """By which a part of a server is found."""
    return {
        "app.kubernetes.io/name": "specserve",
        "app.kubernetes.io/instance": export.name,
        "app.kubernetes.io/component": part,
    }


def keys_secret(export: Export) -> str:
    """The name of the Secret with the keys."""
    return f"{export.name}-keys"


def hub_secret(export: Export) -> str:
    """The name of the Secret with a token of the hub."""
    return f"{export.name}-hub"


def verbatim(text: str) -> str:
    """A text in which the cluster fills in nothing."""
    return text.replace("$(", "$$(")


def server_template(
    export: Export, part: Part, *, group: MachineGroup | None = None, claim: str | None = None
) -> PodTemplate:
    """The pod of a server, or of one machine of a group.

    Args:
        export: what is served.
        part: which one.
        group: the machines that serve it together; None for one alone.
        claim: of the volume for weights; None where templates make one for each pod.
    """
    timing = timing_of(export)
    return PodTemplate(
        metadata=Metadata(labels=labels_of(export, part)),
        spec=PodSpec(
            termination_grace_period_seconds=BEFORE_STOP_SECONDS + timing.stop,
            security_context=_account(export),
            init_containers=list(_downloads(export)),
            containers=[_server(export, part, group)],
            volumes=list(_volumes(export, claim)),
        ),
    )


def _account(export: Export) -> PodSecurity:
    number = export.choices.run_as
    if number is None:
        return PodSecurity()
    return PodSecurity(
        run_as_non_root=True,
        run_as_user=number,
        run_as_group=number,
        fs_group=number,
        # Not over hundreds of gigabytes at each start.
        fs_group_change_policy="OnRootMismatch",
    )


def _server(export: Export, part: Part, group: MachineGroup | None) -> Container:
    keys_file = f"{KEYS_PATH}/{export.engine.keys_name}" if export.has_keys else None
    alone = export.engine.container_launch(export.config, keys_file=keys_file)
    launch = export.engine.container_launch(export.config, keys_file=keys_file, group=group)
    # What a group adds holds variables, which the cluster is to fill in.
    added = launch.arguments[len(alone.arguments) :]
    follows = part == "worker"
    probes = export.engine.probes
    processors = export.ranks + _OTHER_PROCESSORS
    return Container(
        name="worker" if follows else "server",
        image=export.image,
        command=list(launch.program),
        args=[*map(verbatim, alone.arguments), *added],
        env=list(_environment(export, launch, group)),
        ports=[ContainerPort(name=PORT_NAME, container_port=export.config.port)],
        resources=Resources(
            requests={"cpu": str(processors), "memory": f"{_host_gib(export)}Gi"},
            limits={"nvidia.com/gpu": str(export.gpus)},
        ),
        volume_mounts=list(_mounts(export)),
        startup_probe=None if follows else _starting(export),
        readiness_probe=_asked(export, probes.joined if follows else probes.generates),
        # A follower answers 200 whatever happens; it ends when its leader does.
        liveness_probe=None if follows else _alive(export),
        lifecycle=Lifecycle(
            pre_stop=Handler(exec=Exec(command=["sleep", str(BEFORE_STOP_SECONDS)]))
        ),
    )


def _host_gib(export: Export) -> int:
    """What the engine's processes take of the host's memory at the least, in GiB.

    Formula: `engine_host_bytes` of the ranks on one machine, rounded up. It was measured on a CPU,
    without weights and KV cache, which lie on the GPUs here; what the driver pins is not known.
    """
    return math.ceil(engine_host_bytes(export.ranks) / GIB)


def _starting(export: Export) -> Probe:
    timing = timing_of(export)
    return Probe(
        http_get=HttpGet(path=export.engine.probes.generates, port=PORT_NAME),
        period_seconds=STARTING_PERIOD_SECONDS,
        timeout_seconds=timing.timeout,
        failure_threshold=timing.starting_failures,
    )


def _asked(export: Export, path: str) -> Probe:
    """A probe whose answer decides whether it gets requests."""
    timing = timing_of(export)
    return Probe(
        http_get=HttpGet(path=path, port=PORT_NAME),
        period_seconds=timing.period,
        timeout_seconds=timing.timeout,
        failure_threshold=timing.failures,
    )


def _alive(export: Export) -> Probe:
    return Probe(
        http_get=HttpGet(path=export.engine.probes.answers, port=PORT_NAME),
        period_seconds=ALIVE_PERIOD_SECONDS,
        timeout_seconds=ALIVE_TIMEOUT_SECONDS,
        failure_threshold=ALIVE_FAILURES,
        termination_grace_period_seconds=ALIVE_STOP_SECONDS,
    )


def _environment(
    export: Export, launch: ContainerLaunch, group: MachineGroup | None
) -> Iterator[Variable]:
    given = {**_places(export), **offline(launch), **launch.environment}
    if group is not None:
        given = dict.fromkeys(launch.interface_variables, export.choices.interface) | given
        field = FieldSelector(field_path="status.podIP")
        yield Variable(name=launch.host_variable, value_from=Source(field_ref=field))
    yield from (Variable(name=name, value=verbatim(value)) for name, value in given.items())


def _places(export: Export) -> dict[str, str]:
    """On the volume: weights, and what compilers keep below HOME, which a start then finds."""
    # An account without an entry in /etc/passwd has no name but by this variable.
    named = {} if export.choices.run_as is None else {"USER": "specserve"}
    return {"HOME": HOME_PATH, **named, "HF_HOME": HUB_PATH}


def _downloads(export: Export) -> Iterator[Container]:
    token = KeySelector(name=hub_secret(export), key=HUB_TOKEN, optional=True)
    for number, weights in enumerate(export.weights):
        program, *arguments = download_command(weights, export)
        yield Container(
            name="download-draft" if number else "download",
            image=export.image,
            command=[program],
            args=[verbatim(one) for one in arguments],
            env=[
                *(Variable(name=name, value=value) for name, value in _places(export).items()),
                Variable(name="HF_TOKEN", value_from=Source(secret_key_ref=token)),
            ],
            volume_mounts=[VolumeMount(name=STORAGE, mount_path=STORAGE_PATH)],
        )


def _mounts(export: Export) -> Iterator[VolumeMount]:
    yield VolumeMount(name=STORAGE, mount_path=STORAGE_PATH)
    yield VolumeMount(name=SHARED_MEMORY, mount_path="/dev/shm")  # noqa: S108  # its only place
    if export.has_keys:
        yield VolumeMount(name=KEYS, mount_path=KEYS_PATH, read_only=True)


def _volumes(export: Export, claim: str | None) -> Iterator[Volume]:
    if claim is not None:
        yield Volume(name=STORAGE, persistent_volume_claim=ClaimSource(claim_name=claim))
    yield Volume(
        name=SHARED_MEMORY,
        empty_dir=EmptyDir(medium="Memory", size_limit=SHARED_MEMORY_SIZE),
    )
    if export.has_keys:
        name = export.engine.keys_name
        yield Volume(
            name=KEYS,
            secret=SecretSource(
                secret_name=keys_secret(export),
                default_mode=_OWNER_AND_GROUP,
                items=[SecretItem(key=name, path=name)],
            ),
        )
