"""A model's dimensions, and the parameters that follow from them. Pure.

Files named as a source are those of the verified SGLang: `launcher.engines.sglang.version`.
"""

from __future__ import annotations

import operator
from dataclasses import astuple, dataclass
from typing import Literal

WeightType = Literal["bfloat16", "float16", "float32"]
Quantization = Literal["fp8"]


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """The widths of an attention that caches one latent vector a token (MLA), in elements.

    `query_rank` is 0 where queries are made of the hidden state at once.
    """

    query_rank: int
    kv_rank: int
    position_dim: int
    plain_dim: int
    value_dim: int

    @property
    def query_dim(self) -> int:
        """Of one head's queries and keys."""
        return self.plain_dim + self.position_dim

    @property
    def cached_dim(self) -> int:
        """Of what is cached for a token in a layer."""
        return self.kv_rank + self.position_dim


@dataclass(frozen=True, slots=True)
class EagleDraft:
    """What an EAGLE draft model has beside its layers.

    Attributes:
        input_width: what its linear layer `fc` takes, in elements: hidden states of the target,
            and with EAGLE the token's embedding.
        input_bias: `fc` has a bias.
        input_norms: elements of the norms before it.
        joins_inputs: EAGLE3: the first layer's queries, keys and values take embedding and hidden
            state side by side.
        head_rows: tokens that it can propose.
    """

    input_width: int
    input_bias: bool
    input_norms: int
    joins_inputs: bool
    head_rows: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions that decide how much memory a model takes.

    Widths are in elements.

    Attributes:
        dense_layers: layers that have one MLP where the others have experts; a model without
            experts has dense layers only.
        kv_heads: 1 where keys and values are latent: every rank holds them whole.
        shared_width: of the expert that every token passes through, all of it; 0 without.
        shared_gate: that expert has a gate, of one row.
        correction_bias: the router has one, of an element for each expert.
        norms: of a layer.
        whole_qk_norm: where `qk_norm`, of all heads together, not of each head.
        weight_block_size: rows and columns that share a scale in a block-wise FP8 checkpoint.
        wide_parts: parts with linear layers that an FP8 checkpoint keeps in 16 bits.
        rotary_factor: the part of a head's width that is rotated; latent attention rotates its
            `position_dim`.
        rotary_positions: what YaRN extends the rotary table to; None without it.
        experts_per_token: those that a token is routed to; 0 where that is not known.
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
    nextn_layers: int
    vocabulary: int
    max_positions: int
    attention_bias: bool
    qk_norm: bool
    tied_embeddings: bool
    weight_type: WeightType
    quantization: Quantization | None = None
    weight_block_size: tuple[int, int] | None = None
    wide_parts: frozenset[str] = frozenset()
    output_bias: bool = False
    whole_qk_norm: bool = False
    norms: int = 2
    shared_width: int = 0
    shared_gate: bool = False
    correction_bias: bool = False
    latent: LatentAttention | None = None
    eagle: EagleDraft | None = None
    rotary_factor: float = 1.0
    rotary_positions: int | None = None
    experts_per_token: int = 0

    @property
    def rotary_dim(self) -> int:
        """Width of what is rotated of each head, in elements."""
        if self.latent is not None:
            return self.latent.position_dim
        return int(self.head_dim * self.rotary_factor)

    @property
    def moe_layers(self) -> int:
        """Layers of the main model that have experts."""
        return self.layers - self.dense_layers

    @property
    def served_type(self) -> WeightType:
        """What `--dtype auto` makes of the weights.

        Source: configs/model_config.py, `_get_and_verify_dtype`: float32 becomes 16 bits.
        """
        return "float16" if self.weight_type == "float32" else self.weight_type

    def cached_elements(self, ranks: int) -> int:
        """Elements of one token in one layer of one rank's KV cache.

        Formula: KV heads of the rank x 2 x head_dim; latent: KV rank + position_dim, on every rank.
        Source: model_executor/pool_configurator.py, `_compute_cell_size`.
        """
        if self.latent is not None:
            return self.latent.cached_dim
        return max(1, self.kv_heads // ranks) * 2 * self.head_dim


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of one part of a model, by how they are stored and divided among the ranks.

    Attributes:
        divided: linear weights; each rank holds its share; one byte each in an FP8 checkpoint.
        replicated: small tensors that every rank holds whole, never quantized.
        scales: outputs of the divided linear layers; one scale each in an FP8 checkpoint.
        vocabulary: rows of an embedding or a head; divided, never quantized.
        grouped: keys and values; divided as far as there are KV heads; quantized as `divided`.
        wide: weights that are divided and never quantized.
    """

    divided: int = 0
    replicated: int = 0
    scales: int = 0
    vocabulary: int = 0
    grouped: int = 0
    wide: int = 0

    @property
    def total(self) -> int:
        """All parameters; scales are none."""
        return self.divided + self.replicated + self.vocabulary + self.grouped + self.wide

    def times(self, count: int) -> Parameters:
        """So many parts of this kind."""
        return Parameters(*(part * count for part in astuple(self)))

    def __add__(self, other: Parameters) -> Parameters:
        return Parameters(*map(operator.add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """A checkpoint's parameters by part.

    Attributes:
        draft_input: of an EAGLE draft model, its `fc`.
        absorbed: no part of the checkpoint: what SGLang makes of each layer's KV projection while
            it loads a latent attention, and keeps beside it; of the main model.
        nextn_absorbed: the same, of the NextN layers.
    """

    attention: Parameters
    dense: Parameters
    experts: Parameters
    embedding: Parameters
    head: Parameters
    nextn_layers: Parameters
    nextn_embedding_and_head: Parameters
    draft_input: Parameters
    absorbed: Parameters
    nextn_absorbed: Parameters

    @property
    def main(self) -> Parameters:
        """What the target model loads."""
        return (
            self.attention
            + self.dense
            + self.experts
            + self.embedding
            + self.head
            + self.draft_input
        )

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
    Latent attention: see `_latent_attention`.
    Source: the modules of models/glm4_moe.py, models/glm4_moe_nextn.py and the others of
    `launcher.memory.shapes.architectures`. The tests add up the shapes in safetensors headers.
    """
    attention = _attention(shape) + Parameters(replicated=shape.norms * shape.hidden_size)
    experts = _experts(shape)
    dense = _mlp(shape.hidden_size, shape.dense_width)
    rows = Parameters(vocabulary=shape.vocabulary * shape.hidden_size)
    head_rows = rows
    if shape.eagle is not None:
        head_rows = Parameters(vocabulary=shape.eagle.head_rows * shape.hidden_size)
    nextn_layer = (
        attention
        + (experts if shape.experts else dense)
        # enorm, hnorm and the head's norm; eh_proj is a plain linear layer that no rank divides.
        + Parameters(replicated=3 * shape.hidden_size + 2 * shape.hidden_size**2)
    )
    return ModelParameters(
        attention=attention.times(shape.layers) + Parameters(replicated=shape.hidden_size),
        dense=dense.times(shape.dense_layers),
        experts=experts.times(shape.moe_layers),
        embedding=rows,
        head=Parameters() if shape.tied_embeddings else head_rows,
        nextn_layers=nextn_layer.times(shape.nextn_layers),
        nextn_embedding_and_head=rows.times(2 * shape.nextn_layers),
        draft_input=_draft_input(shape),
        absorbed=_absorbed(shape).times(shape.layers),
        nextn_absorbed=_absorbed(shape).times(shape.nextn_layers),
    )


def _attention(shape: ModelShape) -> Parameters:
    if shape.latent is not None:
        return _latent_attention(shape, shape.latent)
    query_width = shape.heads * shape.head_dim
    kv_width = shape.kv_heads * shape.head_dim
    bias = query_width + 2 * kv_width if shape.attention_bias else 0
    if shape.output_bias:
        bias += shape.hidden_size
    norms = 0
    if shape.qk_norm:
        norms = query_width + kv_width if shape.whole_qk_norm else 2 * shape.head_dim
    return Parameters(
        divided=2 * shape.hidden_size * query_width,
        grouped=2 * shape.hidden_size * kv_width,
        # A bias is divided too, but it is so small that nothing is lost by counting it whole.
        replicated=bias + norms,
        scales=query_width + 2 * kv_width + shape.hidden_size,
    )


def _latent_attention(shape: ModelShape, latent: LatentAttention) -> Parameters:
    """One layer's latent attention.

    Formula: hidden x (query rank + KV rank + position_dim) on every rank, each rank vector with a
    norm; query rank x heads x query_dim, KV rank x heads x (plain_dim + value_dim) and heads x
    value_dim x hidden divided. Without a query rank, hidden x heads x query_dim for the queries.
    Source: models/deepseek_v2.py, `DeepseekV2AttentionMLA`.
    """
    queries = shape.heads * latent.query_dim
    keys_and_values = shape.heads * (latent.plain_dim + latent.value_dim)
    values = shape.heads * latent.value_dim
    return Parameters(
        divided=(latent.query_rank or shape.hidden_size) * queries
        + latent.kv_rank * keys_and_values
        + values * shape.hidden_size,
        grouped=shape.hidden_size * (latent.query_rank + latent.cached_dim),
        replicated=latent.query_rank + latent.kv_rank,
        scales=queries
        + keys_and_values
        + shape.hidden_size
        + latent.query_rank
        + latent.cached_dim,
    )


def _absorbed(shape: ModelShape) -> Parameters:
    """A layer's KV projection once more, as keys and values apart, in 16 bits.

    Source: models/deepseek_common/deepseek_weight_loader.py, `w_kc` and `w_vc`.
    """
    if shape.latent is None:
        return Parameters()
    width = shape.latent.plain_dim + shape.latent.value_dim
    return Parameters(wide=shape.latent.kv_rank * shape.heads * width)


def _draft_input(shape: ModelShape) -> Parameters:
    """What an EAGLE draft model has beside plain layers, and less what it lacks of them.

    Source: models/llama_eagle.py (no norm before the first layer, none at the end),
    models/llama_eagle3.py.
    """
    eagle = shape.eagle
    if eagle is None:
        return Parameters()
    linear = eagle.input_width * shape.hidden_size + eagle.input_norms
    bias = shape.hidden_size if eagle.input_bias else 0
    if not eagle.joins_inputs:
        return Parameters(replicated=linear + bias - 2 * shape.hidden_size)
    return Parameters(
        divided=shape.hidden_size * shape.heads * shape.head_dim,
        grouped=2 * shape.hidden_size * shape.kv_heads * shape.head_dim,
        replicated=linear + bias,
    )


def _mlp(hidden_size: int, width: int) -> Parameters:
    return Parameters(divided=3 * hidden_size * width, scales=2 * width + hidden_size)


def _experts(shape: ModelShape) -> Parameters:
    if not shape.experts:
        return Parameters()
    one = _mlp(shape.hidden_size, shape.expert_width)
    shared = _mlp(shape.hidden_size, shape.shared_width) if shape.shared_width else Parameters()
    router = shape.experts * shape.hidden_size
    correction = shape.experts if shape.correction_bias else 0
    gate = shape.hidden_size if shape.shared_gate else 0
    return one.times(shape.experts) + shared + Parameters(replicated=router + correction + gate)
