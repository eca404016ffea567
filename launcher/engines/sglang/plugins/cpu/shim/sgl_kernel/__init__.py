"""The ``sgl_kernel`` that SGLang imports on a CPU, in place of the CUDA-only wheel.

It re-exports ``launcher.engines.sglang.plugins.cpu.kernels`` and registers the attention operators.
It must not define ``convert_weight_packed``: its absence makes SGLang keep its plain PyTorch layers
(sglang/srt/utils/common.py, ``_is_intel_amx_backend_available``).
"""

from launcher.engines.sglang.plugins.cpu.kernels.cache import (
    assign_draft_cache_locs_contiguous_cpu,
    assign_extend_cache_locs_cpu,
    assign_req_to_token_pool_cpu,
    build_draft_decode_metadata_cpu,
    copy_all_layer_kv_cache_cpu,
)
from launcher.engines.sglang.plugins.cpu.kernels.operators import register
from launcher.engines.sglang.plugins.cpu.kernels.tokens import (
    fill_accept_out_cache_loc_cpu,
    fill_bonus_tokens_cpu,
    rotate_input_ids_cpu,
)
from launcher.engines.sglang.plugins.cpu.kernels.tree import (
    build_tree_kernel_efficient_cpu,
    verify_tree_greedy_cpu,
)

__all__ = [
    "assign_draft_cache_locs_contiguous_cpu",
    "assign_extend_cache_locs_cpu",
    "assign_req_to_token_pool_cpu",
    "build_draft_decode_metadata_cpu",
    "build_tree_kernel_efficient_cpu",
    "copy_all_layer_kv_cache_cpu",
    "fill_accept_out_cache_loc_cpu",
    "fill_bonus_tokens_cpu",
    "rotate_input_ids_cpu",
    "verify_tree_greedy_cpu",
]

_OPERATORS = register()
