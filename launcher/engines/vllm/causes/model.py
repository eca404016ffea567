"""What is wrong with the model: its files, its architecture, its weights, its division.

The texts are those of vllm 0.32.0 (config/model.py, model_executor/models/registry.py and utils.py,
model_loader/), transformers and safetensors.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch
from launcher.text import whole_number

# pydantic puts the engine's own sentence in a line below its exception.
_SAYS: Final = r"^\s*(?:(?:[\w.]*(?:Error|Exception)|Value error|Assertion failed)[:,] )"
_MOST_RANKS: Final = 1024


def _smaller_size(match: LogMatch) -> str:
    heads, size = whole_number(match["heads"] or match["groups"] or "0"), match.config.tp_size
    fits = (one for one in range(min(size, _MOST_RANKS) - 1, 0, -1) if heads and heads % one == 0)
    smaller = next(fits, None)
    if smaller is None:
        return "Lower --tp-size to a number that divides the model's heads."
    return f"Lower --tp-size from {size} to {smaller}, or split layers: --pp-size."


def _is_weight(match: LogMatch) -> bool:
    """Whether a key that is missing was one of the weights, which were being loaded."""
    loads = any("load_weight" in function for _, function in match.frames())
    return not match.end.served and (loads or bool(match["other"] or match["absent"]))


def _weight(match: LogMatch) -> str:
    return match["name"] or match["other"] or match["absent"]


ERRORS: Final = {
    "code-not-trusted": LogCause(
        pattern=rf"{_SAYS}.*(?:contains custom code which must be executed"
        r"|trust_remote_code=True|requires you to execute the configuration file)",
        sample="  Value error, The repository example/model contains custom code which must be "
        "executed to correctly load the model.",
        summary="The model {config.model_path} brings untrusted Python code of its own.",
        action="Read that code first; then `--trust-remote-code` runs it.",
    ),
    "unknown-architecture": LogCause(
        pattern=rf"{_SAYS}.*?(?:Model architectures \[?'?(?P<name>\w+).*(?:are not supported"
        r"|failed to be inspected)|has model type `(?P<type>[\w.-]+)` but)",
        sample="  Value error, Model architectures ['Glm9Moe'] are not supported for now.\n"
        "ValueError: The checkpoint you are trying to load has model type `glm9_moe` but",
        summary=lambda match: (
            f"This vLLM does not know the architecture {match['name'] or match['type']}."
        ),
        action="Serve it with a newer vLLM, or another model; where lines above say that its "
        "inspection failed, their error is the reason.",
    ),
    "config-missing": LogCause(
        pattern=rf"{_SAYS}.*?(?:Invalid repository ID or local directory specified"
        r"|Repo id must be in the form|Unrecognized model in|does not appear to have a file named "
        r"config\.json|Can't load the configuration of)",
        sample="  Value error, Invalid repository ID or local directory specified: '/models/x'.",
        summary="There is no config.json at {config.model_path} that names a model's type.",
        action="Check --model-path, or fetch config.json again.",
    ),
    "tokenizer-missing": LogCause(
        pattern=rf"{_SAYS}.*?(?:Couldn't instantiate the backend tokenizer"
        r"|Can't load tokenizer for|Failed to load the tokenizer)",
        sample="OSError: Can't load tokenizer for '/models/x'.",
        summary="The tokenizer of {config.model_path} cannot be loaded.",
        action="Fetch tokenizer.json and tokenizer_config.json again.",
    ),
    "damaged-shard": LogCause(
        pattern=r"SafetensorError: Error while deserializing(?: header)?: (?P<why>.+)"
        r"|^Error while deserializing header: (?P<older>.+)",
        sample="safetensors_rust.SafetensorError: Error while deserializing header: header too "
        "large",
        summary=lambda match: (
            f"A weight file of {match.config.model_path} is damaged or cut short: "
            f"{(match['why'] or match['older']).strip()}."
        ),
        action="Fetch the *.safetensors again whose size or checksum is not the published one.",
    ),
    "no-weights": LogCause(
        pattern=rf"{_SAYS}.*?Cannot find any model weights with `(?P<folder>[^`]*)`",
        sample="RuntimeError: Cannot find any model weights with `/models/x`",
        summary="There are no weight files in {folder}.",
        action="Check --model-path; safetensors files are looked for.",
    ),
    "unknown-weight": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"^KeyError: [\"'](?P<name>[^\"']{1,300})[\"']"
        r"|There is no module or parameter named '(?P<other>[^']+)'"
        r"|weights were not initialized from checkpoint: \{?'?(?P<absent>[\w.]+)",
        applies=_is_weight,
        sample="Traceback (most recent call last):\n"
        '  File "vllm/model_executor/models/some_moe.py", line 77, in load_weights\n'
        "KeyError: 'model.layers.3.mlp.experts.w2_weight_scale'",
        summary=lambda match: (
            f"The model's class in this vLLM does not know a weight of {match.config.model_path}, "
            f"or misses one: {_weight(match)}."
        ),
        action="Serve another checkpoint of the model, quantized another way or not at all, or a "
        "newer vLLM; the same files again do not help.",
        looks="a `KeyError` below `load_weights`",
    ),
    "weights-do-not-fit-config": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"^[\w.]*Error: .*(?:Attempted to load weight|size mismatch|must match the "
        r"(?:existing )?size)|^\s+assert .*\.(?:shape|size\(\)) == loaded_weight\.(?:shape|size)",
        applies=lambda match: not match.end.served,
        sample="AssertionError: Attempted to load weight (torch.Size([512])) into parameter",
        summary="The weights of {config.model_path} do not have the shapes that its config.json "
        "says.",
        action="Fetch config.json and the weights from the same revision.",
    ),
    "tensor-parallel-size": LogCause(
        pattern=r"[Tt]otal number of attention heads \((?P<heads>\d+)\) must be divisible by "
        r"tensor parallel size|^[\w.]*Error: (?P<groups>\d+) is not divisible by \d+"
        r"|^\s+assert .*heads % tp_size == 0|is not divisible by weight quantization block",
        sample="  Value error, Total number of attention heads (40) must be divisible by tensor "
        "parallel size (6).",
        summary="The tensor parallel size {config.tp_size} does not divide the model.",
        action=_smaller_size,
        remedy="**Lower** `--tp-size`.",
    ),
    "expert-parallel-size": LogCause(
        pattern=r"(?:n_physical_experts|experts?)\w*=?(?P<experts>\d+)? must be divisible by "
        r"(?:ep_size|expert parallel size)\D{0,3}(?P<size>\d+)?",
        sample="AssertionError: n_physical_experts=160 must be divisible by ep_size=3.",
        summary="The experts cannot be shared evenly among the ranks.",
        action="Choose --tp-size and --dp-size whose product divides the number of experts, or "
        "leave --ep-size out.",
    ),
    "no-nextn-layer": LogCause(
        pattern=rf"{_SAYS}.*?(?:Unsupported speculative method: '?mtp|MTP is not supported"
        r"|no MTP|has no attribute 'num_nextn_predict_layers')",
        sample="ValueError: Unsupported speculative method: 'mtp'",
        summary="The model {config.model_path} has no layers of its own to draft with.",
        action="Name a draft model with --speculative-draft-model-path, or serve without, "
        "--no-speculation.",
    ),
    "draft-tokens": LogCause(
        pattern=r"num_speculative_tokens:?=?(?P<tokens>\d+)\s*must be divisible by "
        r"n_predict=(?P<trained>\d+)",
        sample="ValueError: num_speculative_tokens:3 must be divisible by n_predict=2",
        summary="The draft model was trained for {trained} tokens at a time, and {tokens} are "
        "asked for.",
        action="Set --speculative-num-steps to a multiple of {trained}, and "
        "--speculative-num-draft-tokens one above it.",
    ),
}
