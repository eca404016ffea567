"""Speculation that was set up wrongly: no draft model, a wrong one, or a target that cannot.

The texts are those of speculative/, arg_groups/speculative_hook.py and models/.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch
from launcher.engines.sglang.causes.advice import in_argument_check, quote

# Attributes that draft models have, and target models that can be drafted for.
_OF_DRAFTS: Final = r"hot_token_id|fc\b|midlayer|d2t|lm_head_weight|set_embed(?:_and_head)?"
_OF_TARGETS: Final = (
    r"set_eagle3_layers_to_capture|get_embed_and_head|get_embed"
    r"|set_dflash_layers_to_capture|capture_aux_hidden_states|layers_to_capture"
)


def _is_speculative(match: LogMatch) -> bool:
    return match.config.speculative_algorithm is not None or match.came_through("eagle")


def _target_as_draft(match: LogMatch) -> str:
    path = match.config.speculative_draft_model_path
    algorithm = match.config.speculative_algorithm or "EAGLE3"
    if path:
        return (
            f"The draft model {path} is no draft model of {algorithm}: {match['kind']} lacks "
            f"{match['attribute']}."
        )
    return (
        f"No draft model was named for {algorithm}, so the target was loaded as its own draft: "
        f"{match['kind']} lacks {match['attribute']}."
    )


def _no_nextn(match: LogMatch) -> str:
    algorithm = match.config.speculative_algorithm or "EAGLE"
    return f"The model {match.config.model_path} has no NextN layer for {algorithm} to draft with."


def _vocabulary(match: LogMatch) -> str:
    return f"The draft model does not fit the target: {quote(match.text)}."


ERRORS: Final = {
    "no-nextn-layer": LogCause(
        pattern=r"^[\w.]*Error: (?:Only 1 nextn layer is supported"
        r"|num_nextn_predict_layers is not in the config"
        r"|'\w+' object has no attribute 'num_nextn_predict_layers')",
        sample="AssertionError: Only 1 nextn layer is supported\n"
        "ValueError: num_nextn_predict_layers is not in the config",
        summary=_no_nextn,
        action="Name a draft model with --speculative-draft-model-path, or use --no-speculation.",
    ),
    "draft-model-wrong": LogCause(
        confidence=Confidence.LIKELY,
        pattern=rf"^AttributeError: '(?P<kind>\w+)' object has no attribute "
        rf"'(?P<attribute>{_OF_DRAFTS})'",
        applies=_is_speculative,
        sample="Traceback (most recent call last):\n"
        '  File "sglang/srt/speculative/eagle_worker_v2.py", line 77, in __init__\n'
        "AttributeError: 'SomeForCausalLM' object has no attribute 'hot_token_id'",
        summary=_target_as_draft,
        action="Name a draft model that was made for this target, --speculative-draft-model-path, "
        "or use --no-speculation.",
    ),
    "speculation-unsupported": LogCause(
        pattern=rf"^AttributeError: '(?P<kind>\w+)' object has no attribute "
        rf"'(?P<attribute>{_OF_TARGETS})'"
        r"|^[\w.]*(?:Error|Exception): .*(?:[Ss]peculative (?:decoding|algorithm)|EAGLE3?|NEXTN"
        r"|DFLASH|NGRAM)\b.*(?:not (?:yet )?supported?|unsupported|does not support|incompatible"
        r"|not compatible|only supports?)",
        applies=lambda match: not in_argument_check(match),
        sample="AttributeError: 'SomeForCausalLM' object has no attribute "
        "'set_eagle3_layers_to_capture'",
        summary=lambda match: (
            f"This SGLang cannot speculate so with {match.config.model_path}: "
            + " ".join(match.text.split())[:240].rstrip(".")
            + "."
        ),
        action=lambda match: (
            "Use another algorithm"
            + (
                f" than {match.config.speculative_algorithm}"
                if match.config.speculative_algorithm
                else ""
            )
            + ", leave out the option that it excludes, or serve without, --no-speculation."
        ),
        remedy="Use another algorithm, or `--no-speculation`.",
    ),
    "draft-vocabulary": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"^[\w.]*Error: .*(?:(?:draft|target).*(?:vocab|hidden|tokenizer).*(?:match|same"
        r"|differ|equal)|vocab\w* size.*(?:draft|target)|outside the target vocab)",
        applies=_is_speculative,
        summary=_vocabulary,
        action="Take the draft model that was made for just this target, or --no-speculation.",
        looks="an error that names both models and their vocabularies or sizes",
    ),
}

_DRAFT_PLACES: Final = re.compile(r"/speculative/|eagle|nextn|draft")


def in_draft(path: str) -> bool:
    """Whether a file of a traceback is one that drafts."""
    return _DRAFT_PLACES.search(path) is not None
