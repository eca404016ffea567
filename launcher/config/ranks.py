"""How many processes compute a configuration, and on which GPUs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from launcher.config.arguments.options import options_of
from launcher.config.server_config import ServerConfig
from launcher.errors import ConfigError
from launcher.text import whole_number

# Fields that have a flag of the engine by the same name, behind which others stand in `extra_args`.
_VALUES: Final = (
    *("pp_size", "dp_size", "ep_size", "quantization", "attention_backend"),
    "chunked_prefill_size",
)
_SWITCHES: Final = ("trust_remote_code", "enable_dp_attention")
# Every spelling of each in SGLang's parser.
_SPELLINGS: Final = {
    "--pipeline-parallel-size": "--pp-size",
    "--data-parallel-size": "--dp-size",
    "--attention-data-parallel-size": "--attn-dp-size",
    "--expert-parallel-size": "--ep-size",
    "--ep": "--ep-size",
}
# More on one machine is a slip.
_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks of one server, each a process on a GPU of its own.

    Attributes:
        tensor: those that share each layer.
        pipeline: stages, each with some of the layers, of so many ranks.
        replicas: copies of the model, each with stages of its own.
        attention_groups: parts of the tensor parallel ranks that attend by themselves, each with
            all heads: data parallel attention.
        expert_groups: parts of the tensor parallel ranks with whole experts.
        first_gpu: `--base-gpu-id`.
        gpu_step: `--gpu-id-step`.
        nodes: machines that they are divided among.
        node_rank: the number of this machine.
    """

    tensor: int = 1
    pipeline: int = 1
    replicas: int = 1
    attention_groups: int = 1
    expert_groups: int = 1
    first_gpu: int = 0
    gpu_step: int = 1
    nodes: int = 1
    node_rank: int = 0

    @property
    def count(self) -> int:
        """All of them.

        Formula: replicas x stages x tensor parallel ranks; groups of the attention add none.
        Source: sglang 0.5.23, srt/server_args.py, `compute_world_size`.
        """
        return self.replicas * self.pipeline * self.tensor

    @property
    def count_here(self) -> int:
        """Those on this machine."""
        return self.count // self.nodes

    @property
    def first_tensor_here(self) -> int:
        """The first of the tensor parallel ranks on this machine.

        Source: sglang 0.5.23, srt/entrypoints/engine.py, `_calculate_rank_ranges`.
        """
        return self._tensor_here * (self.node_rank % self._nodes_of_a_stage)

    @property
    def _nodes_of_a_stage(self) -> int:
        return max(self.nodes // self.pipeline, 1)

    @property
    def _tensor_here(self) -> int:
        return self.tensor // self._nodes_of_a_stage

    @property
    def children(self) -> int:
        """Processes that a server's first one starts itself.

        Formula: a scheduler for each rank on this machine, and the detokenizer on machine 0; with
        several groups the controller of data parallelism, which starts the ranks in their stead.
        Source: sglang 0.5.23, srt/entrypoints/engine.py, `_launch_scheduler_processes`.
        """
        controller = int(self.replicas * self.attention_groups > 1)
        schedulers = self.count_here if self.replicas == 1 else 0
        return schedulers + controller + int(self.node_rank == 0)

    @property
    def gpu_ids(self) -> tuple[int, ...]:
        """The GPU of each rank here, by its place among those that CUDA shows; one may stand twice.

        Formula: base + replica x tensor x stages x step + stage x tensor + rank x step. The stage
        is not multiplied by the step.
        Source: sglang 0.5.23, srt/managers/data_parallel_controller.py, `launch_dp_schedulers` and
        `launch_tensor_parallel_group`; srt/entrypoints/engine.py, `_launch_scheduler_processes`.
        """
        return tuple(
            self.first_gpu
            + replica * self.tensor * self.pipeline * self.gpu_step
            + stage * self._tensor_here
            + rank * self.gpu_step
            for replica in range(self.replicas)
            for stage in range(max(self.pipeline // self.nodes, 1))
            for rank in range(self._tensor_here)
        )

    @property
    def is_plain(self) -> bool:
        """Whether they are tensor parallel only, on the first GPUs."""
        return self == Ranks(self.tensor, expert_groups=self.expert_groups)

    def describe(self) -> str:
        """The sizes that make their number, as the beginning of a sentence."""
        sizes = [f"Tensor parallel size {self.tensor}"]
        if self.pipeline > 1:
            sizes.append(f"pipeline parallel size {self.pipeline}")
        if self.replicas > 1:
            sizes.append(f"data parallel size {self.replicas}")
        placed = []
        if self.first_gpu:
            placed.append(f"--base-gpu-id {self.first_gpu}")
        if self.gpu_step > 1:
            placed.append(f"--gpu-id-step {self.gpu_step}")
        among = f" on {self.nodes} machines" if self.nodes > 1 else ""
        return " x ".join(sizes) + among + (f" with {' and '.join(placed)}" if placed else "")


def engine_options(config: ServerConfig) -> tuple[tuple[str, str], ...]:
    """Options of the engine, of fields and of `extra_args`, by their first spelling."""
    values = {name: getattr(config, name) for name in _VALUES}
    fields = [(_flag(name), str(value)) for name, value in values.items() if value is not None]
    fields += [(_flag(name), "") for name in _SWITCHES if getattr(config, name)]
    behind = [(_SPELLINGS.get(flag, flag), value) for flag, value in options_of(config.extra_args)]
    return (*fields, *behind)


def given_options(config: ServerConfig) -> Iterator[tuple[str, str, str]]:
    """The same, each with how it was written: SGLang's own stand behind `--`."""
    of_fields = {_flag(name) for name in (*_VALUES, *_SWITCHES)}
    for flag, value in engine_options(config):
        written = f"{flag} {value}".strip()
        yield flag, value, written if flag in of_fields else f"-- {written}"


def ranks_of(config: ServerConfig) -> Ranks:
    """The ranks that a configuration asks for, in its fields or in `extra_args`."""
    given = dict(engine_options(config))
    replicas, groups = _size(given, "--dp-size"), _size(given, "--attn-dp-size")
    if "--enable-dp-attention" in given and groups == 1:
        # srt/arg_groups/parallel_hook.py, `handle_deprecated_dp_attention`.
        replicas, groups = 1, replicas
    # With most of these SGLang sets --ep-size to --tp-size: srt/arg_groups/moe_hook.py.
    transport = given.get("--moe-a2a-backend", "none")
    return Ranks(
        config.tp_size,
        pipeline=_size(given, "--pp-size"),
        replicas=replicas,
        attention_groups=groups,
        expert_groups=_size(given, "--ep-size") if transport == "none" else config.tp_size,
        first_gpu=_number(given, "--base-gpu-id", 0),
        gpu_step=max(1, _number(given, "--gpu-id-step", 1)),
        nodes=config.nnodes,
        node_rank=config.node_rank,
    )


def check_ranks_on_cpu(config: ServerConfig) -> None:
    """Refuse what a server on a CPU cannot be divided into.

    SGLang asserts processors for each rank (0.5.23, srt/utils/numa_utils.py), and the CPU engine
    divides them among tensor parallel ranks alone (`launcher.engines.sglang.plugins.cpu`).

    Raises:
        ConfigError: it is asked for.
    """
    ranks = ranks_of(config)
    if config.device != "cpu" or (ranks.count == ranks.tensor and ranks.attention_groups == 1):
        return
    raise ConfigError(
        "A server on a CPU has tensor parallel ranks only: it has no --pp-size, --dp-size or "
        "--enable-dp-attention above 1.",
        action="Leave them out; for more requests start another server, with a name and a port of "
        "its own.",
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _size(given: dict[str, str], flag: str) -> int:
    return min(max(1, _number(given, flag, 1)), _MOST)


def _number(given: dict[str, str], flag: str, default: int) -> int:
    text = given.get(flag, "")
    return whole_number(text) if text.isdecimal() else default
