"""Registration of the attention functions as ``torch.ops.sgl_kernel.*``.

SGLang's CPU attention backend takes them from there, not from the Python package.
Source: sglang/srt/layers/attention/intel_amx_backend.py.
"""

from typing import Final

import torch

from launcher.engines.sglang.plugins.cpu.kernels.attention import (
    decode_attention_cpu,
    extend_attention_cpu,
)

_NAMESPACE: Final = "sgl_kernel"

_DECODE: Final = (
    "decode_attention_cpu(Tensor query, Tensor(a!) k_buffer, Tensor(b!) v_buffer, "
    "float k_scale, float v_scale, Tensor(c!) output, Tensor? key, Tensor? value, "
    "Tensor? loc, Tensor attn_logits, Tensor req_to_token, Tensor req_pool_indices, "
    "Tensor seq_lens, float sm_scale, float logit_cap, bool is_cross_attn, "
    "int sliding_window_size, Tensor? encoder_lens, Tensor? sinks) -> ()"
)
_EXTEND: Final = (
    "extend_attention_cpu(Tensor q_extend, Tensor? k_extend, Tensor? v_extend, "
    "Tensor(a!) o_extend, Tensor k_buffer, Tensor v_buffer, float k_scale, float v_scale, "
    "Tensor req_to_token, Tensor req_pool_indices, Tensor seq_lens, "
    "Tensor extend_seq_lens, Tensor extend_start_loc, int max_len_extend, "
    "float sm_scale, float logit_cap, bool is_cross_attn, int sliding_window_size, "
    "Tensor? encoder_lens, Tensor? sinks, Tensor? tree_mask, bool is_causal) -> ()"
)


def register() -> torch.library.Library:
    """Define both operators with their CPU implementation.

    Returns:
        The library object. The operators live as long as it does: keep it.

    Raises:
        RuntimeError: From PyTorch, if the operators are defined already.
    """
    # torch.library is untyped.
    library = torch.library.Library(_NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema, function in ((_DECODE, decode_attention_cpu), (_EXTEND, extend_attention_cpu)):
        library.define(schema)  # type: ignore[no-untyped-call]
        library.impl(function.__name__, function, "CPU")  # type: ignore[no-untyped-call]
    return library
