"""The launcher's speculation fields in vLLM's words. Pure.

Source: vllm 0.32.0, config/speculative.py, `SpeculativeConfig`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final

from launcher.config.server_config import ServerConfig

FLAG: Final = "--speculative-config"
# SGLang's algorithm -> vLLM's method with a draft model of its own.
_WITH_DRAFT_MODEL: Final[Mapping[str, str]] = {
    "EAGLE": "eagle",
    "NEXTN": "mtp",
    "EAGLE3": "eagle3",
    "STANDALONE": "draft_model",
    "DFLASH": "dflash",
    "DSPARK": "dspark",
}
_ALGORITHMS: Final = {method: algorithm for algorithm, method in _WITH_DRAFT_MODEL.items()}
# Those that draft with the model's own layers for the next tokens.
_OWN_LAYERS: Final = frozenset({"EAGLE", "NEXTN"})


def speculative_config(config: ServerConfig) -> str | None:
    """The value of `--speculative-config`; None for plain decoding.

    Formula: num_speculative_tokens = steps of a chain; of n-grams, the tokens that one verify
    checks, less the one that it computes itself.

    Args:
        config: one that `flaw_of_speculation` has nothing against.
    """
    method = _method(config)
    if method is None:
        return None
    content: dict[str, Any] = {"method": method}
    draft = config.speculative_draft_model_path
    if draft is not None and draft != config.model_path:
        content["model"] = draft
    if (tokens := _draft_tokens(config)) is not None:
        content["num_speculative_tokens"] = tokens
    return json.dumps(content, separators=(",", ":"))


def fields_of(text: str) -> dict[str, str]:
    """The fields that a value of `--speculative-config` stands for; empty where they cannot say it.

    Args:
        text: JSON, as users have it.
    """
    with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):
        content = dict(json.loads(text))
        method, tokens = content.pop("method"), int(content.pop("num_speculative_tokens"))
        draft = content.pop("model", None)
        if content or tokens < 1:
            return {}
        if method == "ngram" and draft is None:
            own = {"speculative_algorithm": "NGRAM"}
            return own | {"speculative_num_draft_tokens": str(tokens + 1)}
        algorithm = "EAGLE" if method == "mtp" and draft is None else _ALGORITHMS[method]
        made = {
            "speculative_algorithm": algorithm,
            "speculative_num_steps": str(tokens),
            "speculative_eagle_topk": "1",
            "speculative_num_draft_tokens": str(tokens + 1),
        }
        return made if draft is None else {**made, "speculative_draft_model_path": str(draft)}
    return {}


def flaw_of_speculation(config: ServerConfig) -> tuple[str, str] | None:
    """Why vLLM does not speculate so, and the nearest that it does; None if nothing."""
    algorithm = config.speculative_algorithm
    if algorithm is None:
        return None
    if _method(config) is None:
        return (
            f"vLLM has no speculative_algorithm {algorithm}",
            "Nearest: EAGLE, which drafts with the model's own layers, or NGRAM.",
        )
    topk = config.speculative_eagle_topk
    if topk not in (None, 1):
        steps = config.speculative_num_steps
        nearest = (
            f"--speculative-num-steps {steps} --speculative-eagle-topk 1 "
            f"--speculative-num-draft-tokens {(steps or 0) + 1}"
        )
        problem = f"vLLM drafts a chain, and speculative_eagle_topk is {topk}; 1 is allowed"
        return problem, f"Nearest: {nearest}."
    if _draft_tokens(config) is None and algorithm not in _OWN_LAYERS:
        return (
            f"vLLM wants the number of draft tokens of {algorithm}",
            "Set --speculative-num-draft-tokens; of a chain, --speculative-num-steps and the rest.",
        )
    if algorithm in {"EAGLE3", "DFLASH", "DSPARK"} and not config.speculative_draft_model_path:
        return (
            f"{algorithm} needs speculative_draft_model_path",
            "Name the draft model; EAGLE uses the model's own layers.",
        )
    return None


def _method(config: ServerConfig) -> str | None:
    algorithm = config.speculative_algorithm
    draft = config.speculative_draft_model_path
    if algorithm == "NGRAM":
        return "ngram"
    if algorithm in _OWN_LAYERS and draft in (None, config.model_path):
        return "mtp"
    return _WITH_DRAFT_MODEL.get(algorithm or "")


def _draft_tokens(config: ServerConfig) -> int | None:
    """Tokens that are drafted before each verify; SGLang counts the verified one as well."""
    if config.speculative_num_steps is not None:
        return config.speculative_num_steps
    verified = config.speculative_num_draft_tokens
    return None if verified is None else max(1, verified - 1)
