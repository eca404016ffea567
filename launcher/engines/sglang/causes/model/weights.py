"""Weights that the model's class does not know, or that have other shapes than it made for them.

The texts are those of models/*.py, model_loader/ and torch.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry
from launcher.engines.phases import Phase
from launcher.engines.sglang.causes.advice import sglang_option

_QUANTIZED: Final = re.compile(r"scale|zero|qweight|g_idx|input_global|amax|packed")
_ADAPTER: Final = re.compile(r"^base_model\.|base_layer|lora_[AB]\b|lora_embedding")
_LOADING: Final = ("load_weights", "load_model", "weight_loader", "_load_w")
_RAISED: Final = r"^[\w.]*(?:Error|Exception): "
_SHAPES: Final = (
    r"size mismatch|must match the (?:existing )?size|mat1 and mat2 shapes cannot be multiplied"
    r"|is invalid for input of size|shape mismatch|[Ee]xpected .*(?:shape|size|dim)"
    r"|split_with_sizes expects|Sizes of tensors must match|inconsistent tensor size"
    r"|could not broadcast|self\.org_vocab_size=\d+"
)


def _in_loading(match: LogMatch) -> bool:
    """Whether it was raised while weights were loaded; by the phase where no frame tells."""
    frames = list(match.frames())
    if not frames:
        # Quantized or not, a forward pass comes after the last of these phases.
        return not match.end.served
    return any(name in function for _, function in frames for name in _LOADING)


def _name(match: LogMatch) -> str:
    groups = ("name", "other", "first", "second", "absent", "lacking")
    return next((match[group] for group in groups if match[group]), "")


def _unknown_weight(match: LogMatch) -> str:
    name = _name(match)
    kind = ", one of its quantization" if _QUANTIZED.search(name) else ""
    if _in_draft(match):
        return (
            f"The draft model{_draft_name(match)} is loaded as another class than it was made for: "
            f"that class does not know the weight {name}."
        )
    if _ADAPTER.search(name):
        return (
            f"{match.config.model_path} holds a LoRA adapter that was not merged into its base "
            f"model: a weight is named {name}."
        )
    return (
        f"The model's class in this SGLang does not know a weight of {match.config.model_path}: "
        f"{name}{kind}."
    )


def _another_checkpoint(match: LogMatch) -> str:
    if _in_draft(match):
        return (
            "Look at `architectures` in the draft's config.json (LlamaForCausalLMEagle3 for EAGLE3 "
            "drafts), take the draft that was made for this target, or --no-speculation."
        )
    if sglang_option(match.config, "--load-format") == "sharded_state" or match["lacking"]:
        return (
            "Save the shards again with this SGLang and the same options (ranks, quantization), or "
            "load the original checkpoint, `-- --load-format auto`."
        )
    if _ADAPTER.search(_name(match)):
        return (
            "Merge the adapter into its base model before it is saved (PEFT: merge_and_unload), or "
            "serve the base model with `-- --lora-paths` of the adapter."
        )
    if _QUANTIZED.search(_name(match)):
        return (
            "Serve another checkpoint of the model, quantized another way or not at all, or a "
            "newer SGLang that knows this one; the same files again do not help."
        )
    return (
        "Serve a newer SGLang, or a checkpoint in the form that transformers writes; config.json "
        "has to be of the same repository as the weights."
    )


def _same_revision(match: LogMatch) -> str:
    # Two values of 4 bit in a byte, as one long column.
    if re.search(r"load weight \(torch\.Size\(\[\d+, 1\]\)\)", match.found.string):
        return (
            "These weights are packed to 4 bit, as bitsandbytes does: add `--quantization "
            "bitsandbytes --load-format bitsandbytes` where the model's class takes it, or serve "
            "the unquantized checkpoint."
        )
    return "Fetch config.json and the weights from the same revision."


def _is_weight(match: LogMatch) -> bool:
    loads = any("load_weight" in function for _, function in match.frames())
    return loads or bool(match["other"] or match["first"] or match["absent"] or match["lacking"])


def _in_draft(match: LogMatch) -> bool:
    # The process may be called a draft worker and load the target: the frames decide.
    return match.came_through_path("/speculative/") or (
        match.end.phase is Phase.DRAFT_WEIGHTS and not match.end.served
    )


def _draft_name(match: LogMatch) -> str:
    path = match.config.speculative_draft_model_path
    return f" {path}" if path else ""


ERRORS: Final = {
    "unknown-weight": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"^KeyError: [\"'](?P<name>[^\"']{1,300})[\"']"
        r"|[Tt]here is no module or parameter named '(?P<other>[^']+)'"
        r"|Missing keys \(?'(?P<lacking>[\w.]+)'"
        r"|Parameter (?P<absent>[\w.]+) not found in (?:the )?model"
        r"|(?:Unexpected|Missing) key\(s\) in state_dict: \"?(?P<first>[\w.]+)"
        r"|weights were not initialized from checkpoint: \{?'?(?P<second>[\w.]+)",
        applies=lambda match: not match.end.served and (_is_weight(match) or bool(match["second"])),
        sample="Traceback (most recent call last):\n"
        '  File "sglang/srt/models/some_moe.py", line 77, in load_weights\n'
        "KeyError: 'model.layers.3.mlp.experts.w2_weight_scale'",
        summary=_unknown_weight,
        action=_another_checkpoint,
        looks="`KeyError: 'model.layers…'` below `load_weights`",
        remedy="Serve another checkpoint of the model, or a newer SGLang.",
    ),
    "draft-does-not-fit": LogCause(
        confidence=Confidence.LIKELY,
        pattern=rf"{_RAISED}.*(?:{_SHAPES})"
        r"|^\s+assert .*\.(?:shape|size\(\)) == loaded_weight\.(?:shape|size\(\))",
        applies=_in_draft,
        summary=lambda match: (
            f"The draft model{_draft_name(match)} does not fit the target, or not the algorithm: "
            "their sizes differ."
        ),
        action="Take the draft model that was made for just this target "
        "(--speculative-draft-model-path), or serve without, --no-speculation.",
        looks="a shape error below `speculative/`",
    ),
    "weights-do-not-fit-config": LogCause(
        confidence=Confidence.LIKELY,
        pattern=rf"{_RAISED}.*(?:{_SHAPES})"
        r"|^\s+assert .*\.(?:shape|size\(\)) == loaded_weight\.(?:shape|size\(\))"
        r"|^[\w.]*Error: Attempted to load weight \(",
        applies=lambda match: not match.end.served and _in_loading(match),
        sample="RuntimeError: The size of tensor a (256) must match the size of tensor b (192)\n"
        "    assert param.shape == loaded_weight.shape",
        summary="The weights of {config.model_path} do not have the shapes that its config.json "
        "says.",
        action=_same_revision,
        remedy="Fetch config.json and the weights from the same revision; packed weights want "
        "their `--quantization`.",
    ),
    "shapes-in-forward": LogCause(
        retry=Retry.ONCE_SERVED,
        confidence=Confidence.LIKELY,
        pattern=rf"{_RAISED}.*(?:{_SHAPES})",
        applies=lambda match: any(match.frames()),
        sample="Traceback (most recent call last):\n"
        '  File "sglang/srt/models/some_moe.py", line 77, in forward\n'
        "RuntimeError: The size of tensor a (2) must match the size of tensor b (4)",
        summary="SGLang computed with tensors of different shapes: this combination of options "
        "does not work, or is a fault of SGLang.",
        action="Leave out what is special, one by one: speculation (--no-speculation), data, "
        "expert or pipeline parallel modes, quantization by a flag, graphs; the weights are not to "
        "blame.",
        looks="a shape error below `forward`",
    ),
}
