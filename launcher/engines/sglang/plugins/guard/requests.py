"""What a request may ask for: a ValueError, which is answered with 400, for anything else.

SGLang hands much of a request to its scheduler as it came. There it becomes the index of a tensor,
an integer of 32 or 64 bits, or the size of an allocation, and what does not fit ends the scheduler
and with it the server: `top_k` of 2^31, a token id that the vocabulary lacks.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final

import msgspec

from launcher.engines.sglang.plugins.guard import grammars
from launcher.engines.sglang.plugins.guard.bounds import (
    CHOICES,
    FLOAT,
    INT32,
    INT64,
    PORT,
    SEQUENCES,
    TOP_LOGPROBS,
    BoundError,
    ModelBounds,
)

# Smallest and largest number of a sampling parameter; SGLang's own bounds are narrower for some.
SAMPLING_RANGES: Final[dict[str, tuple[float, float]]] = {
    "max_new_tokens": (0, INT32),
    "min_new_tokens": (0, INT32),
    "temperature": (0, 1e6),
    "top_p": (1e-30, 1),
    "top_k": (-1, INT32),
    "min_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "repetition_penalty": (0.01, 2),
    "n": (1, CHOICES),
    "beam_width": (1, CHOICES),
    "stream_interval": (1, INT32),
    "sampling_seed": (-INT64 - 1, INT64),
}
REQUEST_RANGES: Final[dict[str, tuple[float, float]]] = {
    "logprob_start_len": (-1, INT32),
    "top_logprobs_num": (0, TOP_LOGPROBS),
    "routed_experts_start_len": (0, INT32),
    "routed_dp_rank": (0, INT32),
    "data_parallel_rank": (0, INT32),
    "disagg_prefill_dp_rank": (0, INT32),
    "bootstrap_port": (0, PORT),
    "bootstrap_room": (0, INT64),
    "decode_tp_size": (1, INT32),
    "max_thinking_tokens": (0, INT32),
    "multi_item_delimiter_indices": (0, INT32),
    "token_indices_to_pool": (0, INT32),
    "dimensions": (1, INT32),
    "max_dynamic_patch": (1, INT32),
    "min_dynamic_patch": (1, INT32),
    "image_max_dynamic_patch": (1, INT32),
    "video_max_dynamic_patch": (1, INT32),
    "embed_override_token_id": (0, INT32),
}
# What SGLang's own processes tell each other in a request; from a client it is refused.
INTERNAL_FIELDS: Final = (
    "http_worker_ipc",
    "encoder_urls",
    "num_items_assigned",
    "need_wait_for_mm_inputs",
)
# What only a program that has the engine within itself can give: objects, and no JSON.
_OBJECT_FIELDS: Final = ("positional_embed_overrides", "embed_overrides")
_TOKEN_FIELDS: Final = ("input_ids", "token_ids_logprob")
# One value for a single prompt, and a list of as many as there are sequences for several.
_ONE_EACH: Final = (
    *("rid", "return_logprob", "logprob_start_len", "top_logprobs_num", "return_hidden_states"),
    *("return_sampling_mask", "sampling_logprobs_mode", "lora_path", "custom_logit_processor"),
    *("bootstrap_host", "bootstrap_port", "bootstrap_room", "bootstrap_pair_key"),
    *("decode_tp_size", "extra_key", "cache_salt", "kv_hints", "sampling_params"),
)
_SESSION: Final = {
    "id": str | None,
    "rid": str | None,
    "offset": int | None,
    "replace": bool | None,
    "drop_previous_output": bool | None,
}
_DEEPEST: Final = 200

_known: list[ModelBounds] = []


def learn(result: None, manager: Any, *_args: object, **_kwargs: object) -> None:
    """Stand behind the constructor of SGLang's `TokenizerManager`, and note the model's bounds."""
    model = manager.model_config
    _known[:] = [
        ModelBounds(int(model.vocab_size), int(model.hidden_size), int(manager.context_len))
    ]
    return result


def model_bounds() -> ModelBounds | None:
    """What the model bounds; None before the server has read its configuration."""
    return _known[0] if _known else None


def check_first(normalize: Callable[[Any], None], request: Any) -> None:
    """Look at a request before SGLang makes its choices, and copies, of it.

    Raises:
        BoundError: it asks for what the server does not give.
    """
    bounds = model_bounds()
    if bounds is not None:
        check(request, bounds)
    normalize(request)
    if bounds is not None:
        check_counts(request)


def check_prompt(validate: Callable[..., None], manager: Any, request: Any, input_ids: Any) -> None:
    """Look at a prompt that was cut into tokens: the scheduler does not survive one that has none.

    Raises:
        BoundError: there is no token, and nothing else to begin from.
    """
    has_other = getattr(request, "input_embeds", None) is not None or request.contains_mm_input()
    if input_ids is not None and len(input_ids) == 0 and not has_other:
        raise BoundError("the prompt", "must have a token", 0)
    validate(manager, request, input_ids)


def check(request: Any, model: ModelBounds) -> None:
    """Look at all fields of SGLang's `GenerateReqInput` or `EmbeddingReqInput`.

    Raises:
        BoundError: it asks for what the server does not give.
    """
    for name in INTERNAL_FIELDS:
        if getattr(request, name, None) is not None:
            raise BoundError(name, "is not for clients", getattr(request, name))
    for field in dataclasses.fields(request):
        value = getattr(request, field.name, None)
        if value is None or field.name in {"text", "sampling_params"}:
            continue
        if field.name in _TOKEN_FIELDS:
            _check_tokens(field.name, value, model)
        elif field.name == "input_embeds":
            _check_embeddings(value, model)
        elif field.name in _OBJECT_FIELDS:
            _refuse_json(field.name, value)
        else:
            _check_numbers(field.name, value, REQUEST_RANGES.get(field.name))
    _check_names(request)
    _check_size(request, model)
    if getattr(request, "sampling_params", None) == []:
        raise BoundError("sampling_params", "must be an object", [])
    for parameters in _each(getattr(request, "sampling_params", None)):
        check_sampling(parameters, model)
    _check_session(getattr(request, "session_params", None))


def check_counts(request: Any) -> None:
    """Look whether a request that SGLang has normalized has one of each thing for each sequence.

    Raises:
        BoundError: a list stands for one value, or has another length.
    """
    for name in _ONE_EACH:
        value = getattr(request, name, None)
        if not isinstance(value, list):
            continue
        if request.is_single:
            raise BoundError(name, "must be one value for a single prompt", value)
        if isinstance(request.rid, list) and len(value) != len(request.rid):
            raise BoundError(
                name, f"must have one value for each of {len(request.rid)} sequences", len(value)
            )


def check_sampling(parameters: object, model: ModelBounds) -> None:
    """Look at what SGLang makes its `SamplingParams` of.

    Raises:
        BoundError: it asks for what the server does not give.
    """
    if not isinstance(parameters, dict):
        raise BoundError("sampling_params", "must be an object", parameters)
    hints = _sampling_types()
    for name, value in parameters.items():
        if name not in hints:
            raise BoundError("sampling_params", "has no such parameter", name)
        if name == "n" and value is None:
            raise BoundError(name, "must be a number", None)
        if value is None or name == "watermark":
            continue
        try:
            msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            raise BoundError(name, f"is of a wrong type ({error})", value) from None
        _check_numbers(name, value, SAMPLING_RANGES.get(name))
    _check_tokens("stop_token_ids", list(parameters.get("stop_token_ids") or []), model)
    _check_bias(parameters.get("logit_bias"), model)
    for pattern in _each(parameters.get("stop_regex")):
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise BoundError("stop_regex", f"is no regular expression ({error})", pattern) from None
    grammars.check(parameters)


def _check_tokens(name: str, value: object, model: ModelBounds) -> None:
    for token in _leaves(name, value):
        if token is None:
            continue
        if isinstance(token, bool) or not isinstance(token, int):
            raise BoundError(name, "holds numbers of tokens", token)
        if not 0 <= token < model.vocabulary:
            raise BoundError(
                name, f"holds tokens of the vocabulary, 0 to {model.vocabulary - 1}", token
            )


def _check_embeddings(value: object, model: ModelBounds) -> None:
    """Embeddings, `[tokens, hidden]` or `[requests, tokens, hidden]`."""
    if not isinstance(value, list) or not value:
        raise BoundError("input_embeds", "must be a list of embeddings", value)
    for row in value:
        if not isinstance(row, list) or not row:
            raise BoundError("input_embeds", "must be a list of embeddings", row)
        if isinstance(row[0], list):
            _check_embeddings(row, model)
        elif len(row) != model.hidden_size:
            raise BoundError(
                "input_embeds", f"must have {model.hidden_size} numbers each", len(row)
            )
        else:
            for number in row:
                if isinstance(number, bool) or not isinstance(number, int | float):
                    raise BoundError("input_embeds", "holds numbers", number)
            _check_numbers("input_embeds", row, (-FLOAT, FLOAT))


def _refuse_json(name: str, value: object) -> None:
    """Refuse what came from JSON; a program within this process gives objects, or lists of them."""
    parts = value if isinstance(value, list) else [value]
    if not parts or any(isinstance(part, dict | list | str | int | float) for part in parts):
        raise BoundError(name, "is not for clients", value)


def _check_bias(bias: object, model: ModelBounds) -> None:
    if bias is None:
        return
    if not isinstance(bias, dict):
        raise BoundError("logit_bias", "must be an object", bias)
    for token in bias:
        digits = str(token)
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise BoundError("logit_bias", "has numbers of tokens for names", token)
        _check_tokens("logit_bias", int(digits), model)


def _check_names(request: Any) -> None:
    """Names of requests are texts; SGLang looks them up in tables."""
    rid = getattr(request, "rid", None)
    if rid is None:
        return
    if not isinstance(rid, str | list) or rid == []:
        raise BoundError("rid", "must be a text, or one for each prompt", rid)
    for name in _each(rid):
        if not isinstance(name, str):
            raise BoundError("rid", "must be a text, or one for each prompt", name)


def _check_size(request: Any, model: ModelBounds) -> None:
    """How many sequences it makes, and of how much text."""
    text = getattr(request, "text", None)
    texts = [text] if isinstance(text, str) else list(_leaves("text", text)) if text else []
    size = sum(utf8_bytes(one) for one in texts if isinstance(one, str))
    ids = getattr(request, "input_ids", None) or []
    prompts = max(len(texts), sum(isinstance(one, list) for one in ids), 1)
    first = next(_each(getattr(request, "sampling_params", None)), None)
    choices = first.get("n") if isinstance(first, dict) else None
    choices = choices if isinstance(choices, int) else 1
    if prompts * choices > SEQUENCES:
        raise BoundError("prompts times n", f"must be at most {SEQUENCES}", prompts * choices)
    if size > model.text_bytes * max(prompts, 1):
        raise BoundError(
            "the prompt", f"must be at most {model.text_bytes} bytes for this context", size
        )


def _check_session(session: object) -> None:
    if session is None:
        return
    if not isinstance(session, dict):
        raise BoundError("session_params", "must be an object", session)
    for name, value in session.items():
        kind = _SESSION.get(name)
        if kind is None:
            raise BoundError("session_params", "has no such parameter", name)
        if not isinstance(value, kind) or (name == "offset" and isinstance(value, bool)):
            raise BoundError(f"session_params.{name}", "is of a wrong type", value)
    _check_numbers("session_params.offset", session.get("offset"), (-1, INT32))


def _check_numbers(name: str, value: object, allowed: tuple[float, float] | None) -> None:
    """Every number in a value, however deep; each has to fit into 64 bits and be finite."""
    lowest, highest = allowed or (-FLOAT, FLOAT)
    for number in _leaves(name, value):
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        if isinstance(number, float) and not math.isfinite(number):
            raise BoundError(name, "must be finite", number)
        if isinstance(number, int) and not -INT64 - 1 <= number <= INT64:
            raise BoundError(name, "must fit into 64 bits", number)
        if not lowest <= number <= highest:
            raise BoundError(name, f"must be in [{_plain(lowest)}, {_plain(highest)}]", number)


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _leaves(name: str, value: object, depth: int = 0) -> Iterator[object]:
    """All that is no list and no object in a value."""
    if depth > _DEEPEST:
        raise BoundError(name, f"must be at most {_DEEPEST} levels deep", value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set):
        yield value
        return
    parts: Iterable[object] = value
    for part in parts:
        yield from _leaves(name, part, depth + 1)


def _each(value: Any) -> Iterator[Any]:
    """A value, or each of a list of them; nothing where it is None."""
    if value is not None:
        yield from value if isinstance(value, list) else [value]


def utf8_bytes(text: str) -> int:
    """The length of a text in bytes; half a surrogate counts as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@cache
def _sampling_types() -> dict[str, Any]:
    """Names and types of the parameters that SGLang takes."""
    from sglang.srt.sampling.sampling_params import SamplingParams  # noqa: PLC0415

    return typing.get_type_hints(SamplingParams)
