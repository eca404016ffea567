"""From a model's `config.json` to its shape. Pure.

The file is somebody else's: each field may be missing, null, nested or of another type. What is not
understood is refused with the reason, never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.errors import UnknownShapeError
from launcher.memory.shape import EagleDraft, LatentAttention, ModelShape, WeightType
from launcher.memory.shapes.architectures import ALWAYS, ARCHITECTURES, REFUSED, Architecture
from launcher.memory.shapes.fields import UnreadableError, dense_layers, text_config
from launcher.memory.shapes.quantization import read_quantization
from launcher.memory.shapes.rotary import rotary_factor, yarn_positions

# Far above any model, and far below what an arithmetic of floats could not hold.
_LARGEST: Final = 2**31
_MOST_LAYERS: Final = 10_000
_Count = Annotated[int, Field(strict=True, ge=0, le=_LARGEST)]
_Positive = Annotated[int, Field(strict=True, ge=1, le=_LARGEST)]
_Layers = Annotated[int, Field(strict=True, ge=1, le=_MOST_LAYERS)]
_Switch = Annotated[bool, Field(strict=True)]
_EAGLE3_INPUTS: Final = 3
_WEIGHT_TYPES: Final[Mapping[str | None, WeightType]] = {
    None: "bfloat16",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "half": "float16",
    "float32": "float32",
    "float": "float32",
}


class _ConfigJson(BaseModel):
    """The fields of `config.json` that say how large a model is; the rest is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    hidden_size: _Positive
    num_hidden_layers: _Layers
    num_attention_heads: _Positive
    num_key_value_heads: _Positive | None = None
    head_dim: _Positive | None = None
    intermediate_size: _Positive
    vocab_size: _Positive
    max_position_embeddings: _Positive
    attention_bias: _Switch | None = None
    bias: _Switch | None = None
    qkv_bias: _Switch | None = None
    mlp_bias: _Switch | None = None
    use_qk_norm: _Switch | None = None
    tie_word_embeddings: _Switch | None = None
    dtype: str | None = None
    torch_dtype: str | None = None

    # A mixture of experts.
    n_routed_experts: _Count | None = None
    num_experts: _Count | None = None
    num_local_experts: _Count | None = None
    moe_intermediate_size: _Positive | None = None
    num_experts_per_tok: _Positive | None = None
    num_experts_per_token: _Positive | None = None
    n_shared_experts: _Count | None = None
    shared_expert_intermediate_size: _Count | None = None
    first_k_dense_replace: _Count | None = None
    moe_layer_freq: _Positive | None = None
    decoder_sparse_step: _Positive | None = None
    mlp_only_layers: tuple[_Count, ...] | None = None
    mlp_layer_types: tuple[str, ...] | None = None
    topk_method: str | None = None
    num_nextn_predict_layers: _Count | None = None

    # Latent attention.
    q_lora_rank: _Positive | None = None
    kv_lora_rank: _Positive | None = None
    qk_rope_head_dim: _Positive | None = None
    qk_nope_head_dim: _Positive | None = None
    v_head_dim: _Positive | None = None
    index_topk: _Count | None = None

    # An EAGLE draft model.
    draft_vocab_size: _Positive | None = None
    hot_vocab_size: _Positive | None = None
    target_hidden_size: _Positive | None = None
    num_aux_hidden_states: _Positive | None = None
    eagle_config: dict[str, Any] | None = None
    norm_before_fc: _Switch | None = None
    fc_norm: _Switch | None = None
    use_aux_norm: _Switch | None = None

    @property
    def experts(self) -> int:
        """Experts of a layer, whatever the family calls them."""
        return self.n_routed_experts or self.num_experts or self.num_local_experts or 0

    @property
    def experts_per_token(self) -> int:
        """Those that a token is routed to; 0 where the file does not say."""
        return self.num_experts_per_tok or self.num_experts_per_token or 0


def read_shape(config: Mapping[str, Any], *, name: str) -> ModelShape:
    """The shape that a `config.json` describes.

    Args:
        config: the file's content.
        name: what to call the model in an error.

    Raises:
        UnknownShapeError: a field is missing, or of no type that it can have; or the architecture,
            the attention or the quantization is one whose memory we cannot add up.
    """
    try:
        architecture, content = text_config(config)
        built = _built(architecture)
        fields = _ConfigJson.model_validate(content)
        return _shape(architecture, built, fields, content)
    except ValidationError as error:
        wrong = sorted({str(detail["loc"][0]) for detail in error.errors() if detail["loc"]})
        raise UnknownShapeError(
            f"The config.json of {name} does not say how large the model is: {', '.join(wrong)}.",
            action="Check that it is the config.json of a language model.",
        ) from None
    except UnreadableError as why:
        raise UnknownShapeError(
            f"The memory of {name} cannot be planned: {why}.",
            action=f"Planned are {', '.join(ARCHITECTURES)} in 16 or 32 bits or FP8. "
            "`python -m launcher up` serves others without a plan.",
        ) from None


def _built(architecture: str) -> Architecture:
    if architecture in REFUSED:
        raise UnreadableError(f"it is {architecture}, and {REFUSED[architecture]}")
    if architecture not in ARCHITECTURES:
        raise UnreadableError(f"its architecture is {ascii(architecture)[1:-1]:.60}")
    return ARCHITECTURES[architecture]


def _shape(
    architecture: str, built: Architecture, fields: _ConfigJson, content: Mapping[str, Any]
) -> ModelShape:
    if fields.mlp_bias:
        raise UnreadableError("its MLPs have biases (mlp_bias), which SGLang does not load")
    if fields.index_topk is not None and built.latent:
        raise UnreadableError("its attention has an index of its own in the KV cache (index_topk)")
    experts = fields.experts if built.experts else 0
    quantization, block, wide_parts = read_quantization(content.get("quantization_config"))
    query_bias = _query_bias(built, fields)
    return ModelShape(
        architecture=architecture,
        hidden_size=fields.hidden_size,
        layers=fields.num_hidden_layers,
        dense_layers=_dense_layers(built, fields) if experts else fields.num_hidden_layers,
        heads=fields.num_attention_heads,
        kv_heads=_kv_heads(built, fields, content),
        head_dim=_head_dim(built, fields),
        dense_width=fields.intermediate_size,
        expert_width=_expert_width(built, fields) if experts else fields.intermediate_size,
        experts=experts,
        nextn_layers=(fields.num_nextn_predict_layers or 0) if built.nextn else 0,
        vocabulary=fields.vocab_size,
        max_positions=_context_tokens(fields, content),
        attention_bias=query_bias,
        qk_norm=built.qk_norm in {"head", "whole"}
        or (built.qk_norm == "field" and bool(fields.use_qk_norm)),
        tied_embeddings=built.tied
        if fields.tie_word_embeddings is None
        else fields.tie_word_embeddings,
        weight_type=_weight_type(fields),
        quantization=quantization,
        weight_block_size=block,
        wide_parts=wide_parts,
        output_bias=built.output_bias and query_bias,
        whole_qk_norm=built.qk_norm == "whole",
        norms=built.norms,
        shared_width=_shared_width(built, fields) if experts else 0,
        shared_gate=bool(experts) and built.experts == "qwen2",
        correction_bias=bool(experts) and _has_correction(architecture, built, fields),
        latent=_latent(fields) if built.latent else None,
        eagle=_eagle(built, fields) if built.eagle else None,
        experts_per_token=min(fields.experts_per_token, experts),
        rotary_factor=rotary_factor(content, default=built.rotary_factor),
        rotary_positions=yarn_positions(content, max_positions=fields.max_position_embeddings),
    )


def _query_bias(built: Architecture, fields: _ConfigJson) -> bool:
    """Whether queries, keys and values have a bias.

    Source: models/llama.py for `bias`, InternLM's name for it; models/deepseek_v2.py has none.
    """
    if built.latent and fields.attention_bias:
        raise UnreadableError("its latent attention has biases, which SGLang does not load")
    if built.query_bias is None:
        return False
    if built.query_bias == ALWAYS:
        return True
    given = fields.qkv_bias if built.query_bias == "qkv_bias" else fields.attention_bias
    if given is None:
        given = built.query_bias_default
    return given or bool(built.output_bias and fields.bias)


def _kv_heads(built: Architecture, fields: _ConfigJson, content: Mapping[str, Any]) -> int:
    if built.latent:
        return 1
    if fields.num_key_value_heads is not None:
        return fields.num_key_value_heads
    # Null says as many as heads; a file that is silent means what transformers happens to have.
    if built.default_kv_heads or "num_key_value_heads" in content:
        return fields.num_attention_heads
    raise UnreadableError("it does not say how many KV heads it has (num_key_value_heads)")


def _head_dim(built: Architecture, fields: _ConfigJson) -> int:
    heads = fields.num_attention_heads
    if built.latent:
        return (fields.qk_nope_head_dim or 0) + (fields.qk_rope_head_dim or 0)
    if fields.head_dim is None:
        if fields.hidden_size % heads:
            raise UnreadableError(
                f"it names no head_dim, and {fields.hidden_size} / {heads} is no whole number"
            )
        return fields.hidden_size // heads
    if not built.head_dim_free and fields.head_dim * heads != fields.hidden_size:
        raise UnreadableError(
            f"{heads} heads of {fields.head_dim} (head_dim) do not make its hidden size of "
            f"{fields.hidden_size}"
        )
    return fields.head_dim


def _expert_width(built: Architecture, fields: _ConfigJson) -> int:
    if built.experts == "mixtral":
        return fields.intermediate_size
    if fields.moe_intermediate_size is None:
        raise UnreadableError("it does not say how wide an expert is (moe_intermediate_size)")
    return fields.moe_intermediate_size


def _shared_width(built: Architecture, fields: _ConfigJson) -> int:
    if built.experts in {"glm", "deepseek"}:
        return (fields.n_shared_experts or 0) * (fields.moe_intermediate_size or 0)
    if built.experts == "qwen2":
        if fields.shared_expert_intermediate_size is None:
            raise UnreadableError(
                "it does not say how wide its shared expert is (shared_expert_intermediate_size)"
            )
        return fields.shared_expert_intermediate_size
    return 0


def _has_correction(architecture: str, built: Architecture, fields: _ConfigJson) -> bool:
    """Whether the router has a correction bias.

    Source: models/deepseek_v2.py, `MoEGate`: where `topk_method` is noaux_tc, which V3 leaves out.
    """
    if built.experts == "deepseek":
        return fields.topk_method == "noaux_tc" or architecture == "DeepseekV3ForCausalLM"
    return built.experts == "glm"


def _dense_layers(built: Architecture, fields: _ConfigJson) -> int:
    """How many layers have one MLP where the others have experts.

    Source: `is_layer_sparse` in models/qwen2_moe.py and qwen3_moe.py, `stage_facts` in
    models/glm4_moe.py, glm4_moe_lite.py and deepseek_v2.py; models/mixtral.py has none.
    """
    layers = fields.num_hidden_layers
    if built.experts == "mixtral":
        return 0
    if built.experts in {"qwen2", "qwen3"}:
        dense = {index for index in fields.mlp_only_layers or () if index < layers}
        step = fields.decoder_sparse_step or 1
        return len(dense | {index for index in range(layers) if (index + 1) % step})
    return dense_layers(
        layers,
        first=fields.first_k_dense_replace,
        every=fields.moe_layer_freq if built.experts == "deepseek" else None,
        kinds=fields.mlp_layer_types,
    )


def _latent(fields: _ConfigJson) -> LatentAttention:
    widths = {
        "kv_lora_rank": fields.kv_lora_rank,
        "qk_rope_head_dim": fields.qk_rope_head_dim,
        "qk_nope_head_dim": fields.qk_nope_head_dim,
        "v_head_dim": fields.v_head_dim,
    }
    missing = [field for field, width in widths.items() if width is None]
    if missing:
        raise UnreadableError(f"its attention is latent, and it has no {', '.join(missing)}")
    kv_rank, position, plain, value = (width or 0 for width in widths.values())
    return LatentAttention(fields.q_lora_rank or 0, kv_rank, position, plain, value)


def _eagle(built: Architecture, fields: _ConfigJson) -> EagleDraft:
    """Source: models/llama_eagle.py and models/llama_eagle3.py."""
    if built.eagle == 1:
        return EagleDraft(
            input_width=2 * fields.hidden_size,
            input_bias=True,
            input_norms=0,
            joins_inputs=False,
            head_rows=fields.hot_vocab_size or fields.vocab_size,
        )
    options = fields.eagle_config or {}
    layers = options.get("eagle_aux_hidden_state_layer_ids")
    inputs = len(layers) if isinstance(layers, list) and layers else _EAGLE3_INPUTS
    width = (fields.target_hidden_size or fields.hidden_size) * (
        fields.num_aux_hidden_states or inputs
    )
    normed = bool(options.get("norm_before_fc", fields.norm_before_fc))
    each_normed = bool(fields.fc_norm or fields.use_aux_norm)
    return EagleDraft(
        input_width=width,
        input_bias=bool(fields.bias),
        input_norms=width * (normed + each_normed),
        joins_inputs=True,
        head_rows=fields.draft_vocab_size or fields.vocab_size,
    )


def _context_tokens(fields: _ConfigJson, content: Mapping[str, Any]) -> int:
    """The longest request that the model takes.

    Source: utils/hf_transformers/common.py, `get_context_length`.
    """
    scaling = content.get("rope_scaling") or content.get("rope_parameters")
    if not isinstance(scaling, dict) or "original_max_position_embeddings" in scaling:
        return fields.max_position_embeddings
    factor = scaling.get("factor", 1)
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "llama3" or not isinstance(factor, int | float) or not 1 <= factor <= _LARGEST:
        return fields.max_position_embeddings
    return int(factor * fields.max_position_embeddings)


def _weight_type(fields: _ConfigJson) -> WeightType:
    given = fields.dtype or fields.torch_dtype
    plain = given.removeprefix("torch.") if given else None
    if plain not in _WEIGHT_TYPES:
        raise UnreadableError(f"its weights are of type {ascii(given)[1:-1]:.60}")
    return _WEIGHT_TYPES[plain]
