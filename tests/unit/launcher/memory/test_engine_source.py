"""What the plan takes from SGLang's and PyTorch's source is still there.

Nothing is imported, which would take ten seconds: statements are compared as Python's parser reads
them, so that layout and comments make no difference.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from launcher.memory import lines, weights
from launcher.memory.gpu import allocator
from launcher.memory.lines import SPECULATIVE_MAX_RUNNING_REQUESTS, _defaults_by_size


def package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is not installed: `uv sync --all-groups`"
    assert spec.origin is not None
    return Path(spec.origin).parent


@cache
def module(file: str) -> ast.Module:
    return ast.parse((package("sglang") / "srt" / file).read_text(encoding="utf-8"))


def function(file: str, name: str) -> ast.FunctionDef:
    """A function, or a class's method as `Class.method`; one of the name, and no other."""
    body: list[ast.stmt] = module(file).body
    *classes, last = name.split(".")
    for wanted in classes:
        (owner,) = [node for node in body if isinstance(node, ast.ClassDef) and node.name == wanted]
        body = owner.body
    (found,) = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == last]
    return found


def calls(file: str, name: str) -> list[str]:
    """What a function calls, as it is written, in the order of the source."""
    found = [node for node in ast.walk(function(file, name)) if isinstance(node, ast.Call)]
    return [
        ast.unparse(node.func) for node in sorted(found, key=lambda at: (at.lineno, at.col_offset))
    ]


def statements(node: ast.AST) -> set[str]:
    return {ast.unparse(child) for child in ast.walk(node) if isinstance(child, ast.stmt)}


def plain(statement: str) -> str:
    """A statement as Python's parser reads it."""
    return ast.unparse(ast.parse(statement))


def in_order(found: list[str], wanted: list[str]) -> bool:
    """Whether those wanted are all there, each once, one after the other."""
    return [call for call in found if call in wanted] == wanted


SCHEDULER = "managers/scheduler.py"
EAGLE = "speculative/eagle_worker_v2.py"


def test_target_and_draft_are_loaded_before_any_kv_cache_is_sized() -> None:
    assert in_order(
        calls(SCHEDULER, "Scheduler.init_model_worker"),
        [
            "self.init_tp_model_worker",
            "self.maybe_init_draft_worker",
            "self.init_memory_pools",
            "self.init_all_attention_backends",
            "self.init_all_cuda_graphs",
        ],
    )


def test_the_target_s_kv_cache_is_sized_before_the_draft_s() -> None:
    assert in_order(
        calls(SCHEDULER, "Scheduler.init_memory_pools"),
        ["self.init_target_memory_pool", "self.draft_worker.alloc_memory_pool"],
    )


def test_the_draft_gives_up_its_embedding_and_head_only_after_that() -> None:
    assert in_order(
        calls(EAGLE, "EagleDraftWorker.alloc_memory_pool"),
        ["self.draft_worker.alloc_memory_pool", "self.init_lm_head"],
    )
    shared = "self.draft_runner.model.set_embed_and_head"
    assert shared in calls(EAGLE, "EagleDraftWorker.init_lm_head")
    # And nowhere else, so not while the draft is built.
    for called in ("self.init_lm_head", shared):
        users = [
            node.name
            for node in ast.walk(module(EAGLE))
            if isinstance(node, ast.FunctionDef)
            and called
            in {ast.unparse(at.func) for at in ast.walk(node) if isinstance(at, ast.Call)}
        ]
        assert users == [{"self.init_lm_head": "alloc_memory_pool", shared: "init_lm_head"}[called]]


def test_giving_them_up_frees_them() -> None:
    freed = statements(function("models/glm4_moe.py", "Glm4MoeForCausalLM.set_embed_and_head"))

    assert {"del self.model.embed_tokens.weight", "del self.lm_head.weight"} <= freed


@pytest.mark.parametrize(
    ("file", "name", "wanted"),
    [
        (
            "mem_cache/kv_cache_configurator.py",
            "KVCacheConfigurator._profile_available_bytes",
            [
                "slack_gb = pre_model_load_memory * (1 - get_schedule().mem_fraction_static)",
                "rest_memory = available_gpu_memory - slack_gb - mm_reservation_gb",
            ],
        ),
        (
            "mem_cache/kv_cache_configurator.py",
            "KVCacheConfigurator.resolve_max_num_reqs",
            [
                "estimated = int(token_capacity / self.model_config.context_len * 512)",
                "estimated = max(min(estimated, 4096), 2048)",
                "max_num_reqs = min(estimated, token_capacity // 2)",
                "max_num_reqs = min(requested_per_worker, token_capacity // 2)",
            ],
        ),
        (
            "model_executor/pool_configurator.py",
            "DefaultPoolConfigurator._compute_cell_size",
            [
                """cell_size = (
                    n * (model_config.head_dim + model_config.v_head_dim)
                    * effective_num_layers * kv_size
                )""",
            ],
        ),
        (
            "model_executor/pool_configurator.py",
            "DefaultPoolConfigurator.__init__",
            ["draft_kv_size = int(self._cell_size * draft_num_layers / int(num_layers))"],
        ),
        (
            "utils/common.py",
            "get_available_gpu_memory",
            ["free_gpu_memory, _ = torch.cuda.mem_get_info(gpu_id)"],
        ),
        (
            "arg_groups/memory_hook.py",
            "handle_gpu_memory_settings",
            [
                "activation_tokens = max(cfg.chunked_prefill_size, 2048)",
                "reserved_mem = 512",
                "reserved_mem += activation_tokens * 1.5",
                "reserved_mem += cfg.tp_size * cfg.pp_size / 8 * 1024",
                "reserved_mem += reserve_for_graph_mb(server_args)",
                """if gpu_mem is not None and gpu_mem > 60 * 1024:
                    reserved_mem = max(reserved_mem, 10 * 1024)""",
                "decode_cuda_graph_config.max_bs = cfg.max_running_requests",
                "prefill_cuda_graph_config.max_bs = cfg.chunked_prefill_size",
            ],
        ),
        (
            "arg_groups/memory_hook.py",
            "reserve_for_graph_mb",
            [
                "reserved_mem += decode_cuda_graph_config.max_bs * 2",
                "reserved_mem += len(prefill_cuda_graph_config.bs) * 8",
            ],
        ),
        ("arg_groups/overrides.py", "_page_size_default", ["return {'page_size': 1}"]),
        ("arg_groups/overrides.py", "_mla_backend_page_constraints", ["page_size = 64"]),
        (
            "layers/rotary_embedding/factory.py",
            "get_rope",
            ["cached = _get_live_rope_cache_entry(key)", "_ROPE_DICT[key] = rotary_emb"],
        ),
        (
            "layers/rotary_embedding/base.py",
            "RotaryEmbedding.__init__",
            [
                # In float32 unless it is none of these.
                """if not (_is_cuda or _is_hip or _is_xpu or envs.SGLANG_ROPE_CACHE_FP32.get()):
                    cache = cache.to(dtype)""",
            ],
        ),
        (
            "layers/rotary_embedding/yarn.py",
            "YaRNScalingRotaryEmbedding._compute_cos_sin_cache",
            [
                """t = torch.arange(
                    self.max_position_embeddings * self.scaling_factor, dtype=torch.float32
                )""",
            ],
        ),
        (
            "utils/common.py",
            "reserve_rope_cache_for_long_sequences",
            [
                "reserve = base_ctx + steps * draft * SAFETY_FACTOR + MARGIN",
                "reserve = (reserve + ALIGN - 1) // ALIGN * ALIGN",
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and not value.endswith(".py") else "",
)
def test_the_formulas_are_still_sglang_s(file: str, name: str, wanted: list[str]) -> None:
    there = statements(function(file, name))

    assert [statement for statement in wanted if plain(statement) not in there] == []


def test_block_wise_scales_are_one_float_for_each_block() -> None:
    source = ast.unparse(
        function("layers/quantization/fp8.py", "Fp8LinearMethod.create_fp8_weight_")
    )

    assert "(output_size_per_partition + block_n - 1) // block_n" in source
    assert "(input_size_per_partition + block_k - 1) // block_k" in source
    assert "scale_dtype = torch.uint8 if use_mxfp8 else torch.float32" in source


def branches(file: str, name: str, on: str) -> Iterator[tuple[str, list[ast.stmt]]]:
    """The conditions on a name, and what is done there, of a function's chains of if and elif."""

    def asks(node: ast.AST) -> bool:
        return isinstance(node, ast.If) and ast.unparse(node.test).startswith(f"{on} < ")

    for node in ast.walk(function(file, name)):
        if isinstance(node, ast.If) and asks(node):
            yield ast.unparse(node.test), node.body
            if node.orelse and not asks(node.orelse[0]):
                yield "else", node.orelse


def constants(body: list[ast.stmt], target: str) -> list[Any]:
    """What is assigned to a name, or handed over by it, in the order of the source."""
    found: list[tuple[int, Any]] = []
    for node in itertools.chain.from_iterable(ast.walk(statement) for statement in body):
        if isinstance(node, ast.keyword) and node.arg == target:
            found.append((node.lineno, node.value))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith(f".{target}"):
            found.append((node.lineno, node.value))
    return [node.value for _, node in sorted(found, key=lambda at: at[0]) if hasattr(node, "value")]


def test_the_defaults_by_the_size_of_the_card_are_sglang_s() -> None:
    chain = list(branches("arg_groups/memory_hook.py", "handle_gpu_memory_settings", "gpu_mem"))
    below_mib = [10_000, 30_000, 50_000, 80_000, 140_000, 200_000]

    assert [test for test, _ in chain] == [
        *(f"gpu_mem < {size} * 1024" for size in (20, 35, 60, 90, 160)),
        "else",
    ]
    for total_mib, (_, body) in zip(below_mib, chain, strict=True):
        (chunk,) = constants(body, "chunked_prefill_size")
        batches = constants(body, "max_bs")
        few, many = batches if len(batches) > 1 else batches * 2
        assert _defaults_by_size(total_mib, 2) == (chunk, few)
        assert _defaults_by_size(total_mib, 4) == (chunk, many)


def test_as_many_prefill_graphs_are_counted_as_sglang_captures() -> None:
    definition = function(
        "arg_groups/cuda_graph_hook.py", "generate_prefill_cuda_graph_batch_sizes"
    )
    namespace: dict[str, Any] = {}
    # A function of one number that uses nothing else.
    exec(compile(ast.Module([definition], []), "sglang", "exec"), namespace)  # noqa: S102
    sizes: Callable[[int], list[int]] = namespace[definition.name]

    for chunk in (-1, 1, 40, 2048, 3000, 4096, 4608, 8192, 10_000, 16384):
        assert lines.prefill_graphs(chunk) == len(sizes(chunk))


def test_speculation_s_own_limit_of_requests_is_sglang_s() -> None:
    found = {
        ast.unparse(node.value)
        for node in ast.walk(module("arg_groups/speculative_hook.py"))
        if isinstance(node, ast.keyword) and node.arg == "max_running_requests"
    }

    assert found == {str(SPECULATIVE_MAX_RUNNING_REQUESTS)}


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("environ.py", f"SGLANG_ROPE_CACHE_SAFETY_MARGIN = EnvInt({weights.ROTARY_MARGIN_TOKENS})"),
        ("environ.py", f"SGLANG_ROPE_CACHE_ALIGN = EnvInt({weights.ROTARY_ALIGNMENT_TOKENS})"),
        # Else the KV cache is sized again once the graphs are there.
        ("environ.py", "SGLANG_ENABLE_POST_CAPTURE_KV_SIZING = EnvBool(False)"),
        (
            "layers/vocab_parallel_embedding.py",
            f"DEFAULT_VOCAB_PADDING_SIZE = {weights.VOCABULARY_PADDING}",
        ),
    ],
)
def test_the_constants_are_still_sglang_s(file: str, statement: str) -> None:
    assert statement in statements(module(file))


def test_the_allocator_s_constants_are_still_pytorch_s() -> None:
    header = (package("torch") / "include/c10/core/AllocatorConfig.h").read_text(encoding="utf-8")
    found = re.findall(r"constexpr size_t (k\w+) = (\d+);", header)

    assert {name: int(value) for name, value in found} == {
        "kMinBlockSize": allocator.BLOCK_BYTES,
        "kSmallSize": allocator.SMALL_TENSOR_BYTES,
        "kSmallBuffer": allocator.SMALL_SEGMENT_BYTES,
        "kMinLargeAlloc": allocator.LARGE_TENSOR_BYTES,
        "kRoundLarge": allocator.ROUNDED_TO_BYTES,
    }
    assert re.search(rf"large_segment_size_\{{{allocator.LARGE_SEGMENT_BYTES}\}}", header)
