"""From a model's `config.json` to its dimensions, and from those to its parameters. Pure."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from launcher.errors import UnknownShapeError

WeightType = Literal["bfloat16", "float16", "float32"]
Quantization = Literal["fp8"]

# Those whose layers are what `count_parameters` adds up: attention with grouped KV heads, and an
# MLP that is dense or a mixture of experts. Latent, linear and sliding attention are others.
GLM4_MOE: Final = "Glm4MoeForCausalLM"
KNOWN_ARCHITECTURES: Final = (
    GLM4_MOE,
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
)
# The Qwen family norms queries and keys without saying so in its config.json.
_ALWAYS_QK_NORM: Final = frozenset({"Qwen3ForCausalLM", "Qwen3MoeForCausalLM"})


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions that decide how much memory a model takes.

    Widths are in elements. `dense_layers` counts the first layers that have one MLP where the
    others have experts; a model without experts has dense layers only. `experts_per_token` are
    those that a token is routed to; 0 where that is not known.
    """

    architecture: str
    hidden_size: int
    layers: int
    dense_layers: int
    heads: int
    kv_heads: int
    head_dim: int
    dense_width: int
    expert_width: int
    experts: int
    shared_experts: int
    nextn_layers: int
    vocabulary: int
    max_positions: int
    attention_bias: bool
    qk_norm: bool
    tied_embeddings: bool
    weight_type: WeightType
    quantization: Quantization | None = None
    experts_per_token: int = 0

    @property
    def moe_layers(self) -> int:
        """Layers of the main model that have experts."""
        return self.layers - self.dense_layers


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of one part of a model, by how they are stored and divided among the ranks.

    Attributes:
        divided: linear weights; each rank holds its share; one byte each in an FP8 checkpoint.
        replicated: small tensors that every rank holds whole, never quantized.
        scales: outputs of the divided linear layers; one scale each in an FP8 checkpoint.
        vocabulary: rows of an embedding or a head; divided, never quantized.
        grouped: keys and values; divided as far as there are KV heads; quantized as `divided`.
    """

    divided: int = 0
    replicated: int = 0
    scales: int = 0
    vocabulary: int = 0
    grouped: int = 0

    @property
    def total(self) -> int:
        """All parameters; scales are none."""
        return self.divided + self.replicated + self.vocabulary + self.grouped

    def times(self, count: int) -> Parameters:
        """So many parts of this kind."""
        return Parameters(*(part * count for part in astuple(self)))

    def __add__(self, other: Parameters) -> Parameters:
        return Parameters(*map(operator.add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """A checkpoint's parameters by part."""

    attention: Parameters
    dense: Parameters
    experts: Parameters
    embedding: Parameters
    head: Parameters
    nextn_layers: Parameters
    nextn_embedding_and_head: Parameters

    @property
    def main(self) -> Parameters:
        """What the target model loads."""
        return self.attention + self.dense + self.experts + self.embedding + self.head

    @property
    def nextn(self) -> Parameters:
        """What the draft model loads: NextN layers with an embedding and a head of their own."""
        return self.nextn_layers + self.nextn_embedding_and_head

    @property
    def total(self) -> int:
        """All parameters of the checkpoint."""
        return self.main.total + self.nextn.total


def count_parameters(shape: ModelShape) -> ModelParameters:
    """Add up a model's parameters.

    Formula: a layer's attention is hidden x heads x head_dim twice (queries, output) and hidden x
    KV heads x head_dim twice (keys, values); an MLP of width w is 3 x hidden x w (gate, up, down).
    Source: the modules of models/glm4_moe.py and models/glm4_moe_nextn.py. The test
    adds up the shapes in the embedded model's safetensors header.
    """
    attention = _attention(shape)
    norms = Parameters(replicated=2 * shape.hidden_size)
    experts = _experts(shape)
    dense = _mlp(shape.hidden_size, shape.dense_width)
    rows = Parameters(vocabulary=shape.vocabulary * shape.hidden_size)
    nextn_layer = (
        attention
        + norms
        + (experts if shape.experts else dense)
        # enorm, hnorm and the head's norm; eh_proj is a plain linear layer that no rank divides.
        + Parameters(replicated=3 * shape.hidden_size + 2 * shape.hidden_size**2)
    )
    return ModelParameters(
        attention=(attention + norms).times(shape.layers)
        + Parameters(replicated=shape.hidden_size),
        dense=dense.times(shape.dense_layers),
        experts=experts.times(shape.moe_layers),
        embedding=rows,
        head=Parameters() if shape.tied_embeddings else rows,
        nextn_layers=nextn_layer.times(shape.nextn_layers),
        nextn_embedding_and_head=rows.times(2 * shape.nextn_layers),
    )


def _attention(shape: ModelShape) -> Parameters:
    query_width = shape.heads * shape.head_dim
    kv_width = shape.kv_heads * shape.head_dim
    bias = query_width + 2 * kv_width if shape.attention_bias else 0
    return Parameters(
        divided=2 * shape.hidden_size * query_width,
        grouped=2 * shape.hidden_size * kv_width,
        # A bias is divided too, but it is so small that nothing is lost by counting it whole.
        replicated=bias + (2 * shape.head_dim if shape.qk_norm else 0),
        scales=query_width + 2 * kv_width + shape.hidden_size,
    )


def _mlp(hidden_size: int, width: int) -> Parameters:
    return Parameters(divided=3 * hidden_size * width, scales=2 * width + hidden_size)


def _experts(shape: ModelShape) -> Parameters:
    if not shape.experts:
        return Parameters()
    one = _mlp(shape.hidden_size, shape.expert_width)
    shared = _mlp(shape.hidden_size, shape.expert_width * shape.shared_experts)
    router = shape.experts * shape.hidden_size
    correction = shape.experts if shape.architecture == GLM4_MOE else 0
    return (
        one.times(shape.experts)
        + (shared if shape.shared_experts else Parameters())
        + Parameters(replicated=router + correction)
    )


_Positive = Annotated[int, Field(ge=1)]


class _ConfigJson(BaseModel):
    """The fields of `config.json` that say how large a model is; the rest is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    architectures: tuple[str, ...] = Field(min_length=1)
    hidden_size: _Positive
    num_hidden_layers: _Positive
    num_attention_heads: _Positive
    num_key_value_heads: _Positive | None = None
    head_dim: _Positive | None = None
    intermediate_size: _Positive
    moe_intermediate_size: _Positive | None = None
    experts: int = Field(
        default=0,
        ge=0,
        validation_alias=AliasChoices("n_routed_experts", "num_experts", "num_local_experts"),
    )
    n_shared_experts: int | None = None
    experts_per_token: _Positive | None = Field(
        default=None,
        validation_alias=AliasChoices("num_experts_per_tok", "num_experts_per_token"),
    )
    first_k_dense_replace: int = Field(default=0, ge=0)
    num_nextn_predict_layers: int | None = None
    vocab_size: _Positive
    max_position_embeddings: _Positive
    attention_bias: bool = False
    use_qk_norm: bool = False
    tie_word_embeddings: bool = False
    dtype: str | None = Field(default=None, validation_alias=AliasChoices("dtype", "torch_dtype"))
    quantization_config: dict[str, Any] | None = None


def read_shape(config: Mapping[str, Any], *, name: str) -> ModelShape:
    """The shape that a `config.json` describes.

    Args:
        config: the file's content.
        name: what to call the model in an error.

    Raises:
        UnknownShapeError: a field is missing or no number; or the architecture, the attention or
            the quantization is one whose memory we cannot add up.
    """
    try:
        fields = _ConfigJson.model_validate(dict(config))
    except ValidationError as error:
        wrong = ", ".join(str(detail["loc"][0]) for detail in error.errors() if detail["loc"])
        raise UnknownShapeError(
            f"The config.json of {name} does not say how large the model is: {wrong}.",
            action="Check that it is the config.json of a language model.",
        ) from None
    architecture = fields.architectures[0]
    if architecture not in KNOWN_ARCHITECTURES:
        raise _unknown(name, f"its architecture is {architecture}")
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        raise _unknown(name, "some of its layers look back over a window only")
    if fields.head_dim is None and fields.hidden_size % fields.num_attention_heads:
        raise _unknown(name, "it names no head_dim")
    experts = fields.experts
    return ModelShape(
        architecture=architecture,
        hidden_size=fields.hidden_size,
        layers=fields.num_hidden_layers,
        dense_layers=fields.first_k_dense_replace if experts else fields.num_hidden_layers,
        heads=fields.num_attention_heads,
        kv_heads=fields.num_key_value_heads or fields.num_attention_heads,
        head_dim=fields.head_dim or fields.hidden_size // fields.num_attention_heads,
        dense_width=fields.intermediate_size,
        expert_width=fields.moe_intermediate_size or fields.intermediate_size,
        experts=experts,
        shared_experts=fields.n_shared_experts or 0,
        nextn_layers=fields.num_nextn_predict_layers or 0,
        vocabulary=fields.vocab_size,
        max_positions=fields.max_position_embeddings,
        attention_bias=fields.attention_bias,
        qk_norm=fields.use_qk_norm or architecture in _ALWAYS_QK_NORM,
        tied_embeddings=fields.tie_word_embeddings,
        weight_type=_weight_type(fields.dtype, name),
        quantization=_quantization(fields.quantization_config, name),
        experts_per_token=min(fields.experts_per_token or 0, experts),
    )


def _weight_type(given: str | None, name: str) -> WeightType:
    if given in ("bfloat16", None):
        return "bfloat16"
    if given == "float16":
        return "float16"
    if given == "float32":
        return "float32"
    raise _unknown(name, f"its weights are of type {given}")


def _quantization(given: dict[str, Any] | None, name: str) -> Quantization | None:
    """FP8 as compressed-tensors or DeepSeek's format writes it; nothing else is added up."""
    if given is None:
        return None
    method = given.get("quant_method")
    if method == "fp8" or (
        method == "compressed-tensors" and given.get("format") == "float-quantized"
    ):
        return "fp8"
    raise _unknown(name, f"it is quantized by {method} ({given.get('format', 'no format named')})")


def _unknown(name: str, why: str) -> UnknownShapeError:
    return UnknownShapeError(
        f"The memory of {name} cannot be planned: {why}.",
        action=f"Planned are {', '.join(KNOWN_ARCHITECTURES)} in 16 or 32 bits or FP8. "
        "`python -m launcher up` serves others without a plan.",
    )
