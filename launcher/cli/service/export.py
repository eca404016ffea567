"""The command `export`: the configuration of `up` as a manifest for other programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from launcher.cli.common import json_option, print_json, print_line, say
from launcher.cli.options.fields import config_options, resolve_options, resolve_untaken
from launcher.cli.options.spellings import ConfigCommand
from launcher.cli.service.grafana import grafana
from launcher.config.sources import ResolvedConfig
from launcher.config.untaken import describe_untaken
from launcher.errors import ConfigFileError, InvalidValueError
from launcher.exporting import gateway
from launcher.exporting.compose import compose_file
from launcher.exporting.document import Node, as_yaml
from launcher.exporting.header import Format, header, notes
from launcher.exporting.kubernetes.leader_worker_set import leader_worker_set_documents
from launcher.exporting.kubernetes.manifest import kubernetes_documents
from launcher.exporting.request import Choices, Export, make_export
from launcher.exporting.skypilot import skypilot_task
from launcher.memory.gpu.models import parse_machine
from launcher.preflight.weights import known_commit, weights_bytes
from launcher.system.files import write_atomically
from launcher.system.hardware import Hardware, probe_hardware

# Where the manifest is applied there are GPUs, whatever this machine has; which, the preset says.
_THERE: Final = "8xH200"
_ARGUMENTS: Final = "launcher.arguments"
_YAML: Final = frozenset({".yaml", ".yml"})
_CLUSTERS: Final = frozenset({"kubernetes", "leaderworkerset"})
_MOST_REPLICAS: Final = 64
_WORD: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_IMAGE: Final = r"[a-z0-9][A-Za-z0-9._/:@-]*"

_F = TypeVar("_F", bound=Callable[..., Any])


class ExportCommand(ConfigCommand):
    """Keeps what was typed, for the head of the manifest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        ctx.meta[_ARGUMENTS] = tuple(_of_the_manifest(args))
        self._refuse_anothers(ctx, args)
        return super().parse_args(ctx, args)

    def _refuse_anothers(self, ctx: click.Context, args: Sequence[str]) -> None:
        """Name the kind of manifest that has an option which this one has not.

        Raises:
            UsageError: there is such an option.
        """
        end = args.index("--") if "--" in args else len(args)
        own = {name for one in self.get_params(ctx) for name in (*one.opts, *one.secondary_opts)}
        for name in (word.partition("=")[0] for word in args[:end] if word.startswith("--")):
            for kind, command in export.commands.items():
                if name not in own and any(name in one.opts for one in command.params):
                    raise click.UsageError(f"{name} is an option of `export {kind}`.", ctx)


def _of_the_manifest(arguments: Sequence[str]) -> Iterator[str]:
    """What was typed, but for where the text goes: it is the same wherever that is."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = iter(arguments[:end])
    for word in words:
        if word in {"-o", "--output"}:
            next(words, None)
        elif word not in {"--force", "--json"} and not re.match(r"-o.|--output=", word):
            yield word
    yield from arguments[end:]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a manifest is given out."""

    output: Path | None
    force: bool
    as_json: bool


class _Pattern(click.ParamType[str]):
    """A text of a certain form."""

    def __init__(self, name: str, pattern: str) -> None:
        self.name = name
        self._pattern = pattern

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, where it has the form."""
        text = str(value)
        if re.fullmatch(self._pattern, text) is None:
            self.fail(f"{text!r} is no {self.name}.", param, ctx)
        return text


IMAGE: Final = _Pattern("IMAGE", _IMAGE)
WORD: Final = _Pattern("NAME", _WORD)


def _out_options(command: _F) -> _F:
    """Options of all kinds of manifests."""
    for option in (
        json_option,
        click.option("--force", is_flag=True, help="With --output: replace the file."),
        click.option(
            "--output",
            "-o",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Write it there instead of printing it.",
        ),
        click.option(
            "--storage-gib",
            type=click.IntRange(min=1),
            metavar="GIB",
            help="Size of each volume for weights; unset: by the model, where it is known.",
        ),
        click.option(
            "--replicas",
            type=click.IntRange(1, _MOST_REPLICAS),
            default=1,
            show_default=True,
            help="Servers with the whole model each.",
        ),
    ):
        command = option(command)
    return config_options(command)


def _container_options(command: _F) -> _F:
    """Options of those that run images."""
    for option in (
        click.option(
            "--policy",
            type=click.Choice(gateway.POLICIES),
            default=gateway.POLICIES[0],
            show_default=True,
            help="How the gateway chooses among several replicas.",
        ),
        click.option(
            "--gateway-image",
            type=IMAGE,
            default=gateway.IMAGE,
            show_default=True,
            help="Image of the gateway before several replicas.",
        ),
        click.option(
            "--image", type=IMAGE, help="Image with SGLang; unset: the verified version's own."
        ),
    ):
        command = option(command)
    return command


def _cluster_options(command: _F) -> _F:
    """Options of those that run in a cluster."""
    for option in (
        click.option(
            "--run-as",
            type=click.IntRange(min=1),
            metavar="UID",
            help="Number of the account in the container; unset: the image's own, root.",
        ),
        click.option(
            "--storage-class",
            type=WORD,
            help="Class of the volumes; unset: the cluster's default.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def export() -> None:
    """Write the configuration of `up` as a manifest for a cluster, for compose or for SkyPilot."""


@export.command(cls=ExportCommand)
@_cluster_options
@_container_options
@_out_options
def kubernetes(*, output: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Print a Deployment, or a StatefulSet and a gateway where there are several replicas."""
    _export("kubernetes", Manner(output, force, as_json), options, kubernetes_documents)


@export.command(cls=ExportCommand)
@click.option(
    "--interface",
    type=WORD,
    default="eth0",
    show_default=True,
    help="Network interface of the pods between the machines.",
)
@_cluster_options
@_container_options
@_out_options
def leaderworkerset(*, output: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Print a LeaderWorkerSet: one model over several machines, as many as --nnodes says."""
    _export("leaderworkerset", Manner(output, force, as_json), options, leader_worker_set_documents)


@export.command(cls=ExportCommand)
@_container_options
@_out_options
def compose(*, output: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Print a compose file for one machine."""
    _export("compose", Manner(output, force, as_json), options, lambda made: [compose_file(made)])


@export.command(cls=ExportCommand)
@click.option("--gpu", type=WORD, required=True, help="SkyPilot's name of the GPU, such as H100.")
@_out_options
def skypilot(*, output: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Print a SkyPilot task, or a service where there are several replicas."""
    _export("skypilot", Manner(output, force, as_json), options, lambda made: [skypilot_task(made)])


export.add_command(grafana)


def _export(
    made: Format,
    manner: Manner,
    options: dict[str, Any],
    documents_of: Callable[[Export], Sequence[Node]],
) -> None:
    """Make a manifest and give it out; everything is checked before anything is written."""
    if manner.force and manner.output is None:
        raise click.UsageError("--force is for a file: name it with --output.")
    if manner.output is not None:
        _check_output(manner.output, force=manner.force)
    chosen = {one.name: options.pop(one.name) for one in fields(Choices) if one.name in options}
    hardware = _there()
    resolved = resolve_options(options, probe=lambda: hardware)
    _tell_preset(options, resolved, hardware)
    request = _request(resolved, Choices(**chosen), made)
    documents = documents_of(request)
    arguments = click.get_current_context().meta[_ARGUMENTS]
    text = as_yaml(header(request, made, arguments), documents)
    if manner.output is not None:
        write_atomically(manner.output, text)
    if manner.as_json:
        print_json(
            {
                "documents": [document.as_data() for document in documents],
                "manifest": text,
                "notes": list(notes(request, made)),
            }
        )
        return
    if manner.output is None:
        print_line(text, end="")
    for note in notes(request, made):
        say(f"Note: {note}", err=True)
    if manner.output is not None:
        say(f"Wrote {manner.output}. Its first lines say what to do before it is applied.")


def _there() -> Hardware:
    """A machine with GPUs, where presets are chosen and the device is found out."""
    here = probe_hardware()
    return replace(here, gpus=parse_machine(_THERE), gpu_note="named", gpus_are_here=False)


def _tell_preset(options: dict[str, Any], resolved: ResolvedConfig, hardware: Hardware) -> None:
    if resolved.sources["preset"].startswith("preset") and resolved.sources[
        "model_path"
    ].startswith("preset"):
        say(f"Preset {resolved.config.preset}: no model was named, and this is for GPUs.", err=True)
    untaken = resolve_untaken(options, resolved, probe=lambda: hardware)
    if untaken is not None:
        say(describe_untaken(untaken), err=True)


def _request(resolved: ResolvedConfig, choices: Choices, made: Format) -> Export:
    config = resolved.config
    repositories = [config.model_path, *filter(None, [config.draft_repository])]
    commits = {one: known_commit(one) for one in repositories}
    sizes = {one: weights_bytes(one) for one in repositories}
    return make_export(
        config,
        choices,
        commits={one: commit for one, commit in commits.items() if commit is not None},
        sizes_bytes={one: size for one, size in sizes.items() if size is not None},
        restarts_always=made in _CLUSTERS,
        of_groups=made == "leaderworkerset",
    )


def _check_output(output: Path, *, force: bool) -> None:
    """Refuse a file before anything else is looked at.

    Raises:
        ConfigFileError: it is not to hold YAML, or it is there.
        InvalidValueError: its folder is not there.
    """
    if output.suffix not in _YAML:
        raise ConfigFileError(f"{output} is to hold YAML.", action="Let its name end in .yaml.")
    if output.exists() and not force:
        raise ConfigFileError(f"{output} exists.", action="Name another file, or give --force.")
    if not output.absolute().parent.is_dir():
        raise InvalidValueError(
            f"There is no folder {output.absolute().parent}.", action="Make it, or name another."
        )
