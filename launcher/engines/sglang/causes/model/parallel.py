"""Sizes of parallelism that do not divide the model: its heads, its widths, their blocks.

The texts are those of layers/quantization/, distributed/utils.py, models/ and the kernels' tiles.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import LogCause, LogMatch
from launcher.engines.sglang.causes.advice import value_of, written
from launcher.text import whole_number

_SIZES: Final = {"ep": "expert parallel", "pp": "pipeline parallel", "dp": "data parallel"}

# More is a slip, and each smaller size is tried.
_MOST_RANKS: Final = 1024


def _size_does_not_fit(match: LogMatch) -> str:
    number, block = _number_to_split(match), match["block"]
    if match["step"]:
        why = f"the experts' width of {number} is not shared in whole blocks of {match['step']}"
    elif block:
        width = match["width"]
        why = f"a rank's share is {width} wide, which is no multiple of {block}"
    elif match["experts"]:
        why = f"the model has {number} experts"
    elif number:
        why = f"{number} is not a multiple of it"
    else:
        why = "it does not divide the model's heads"
    return f"The tensor parallel size {match.config.tp_size} does not fit the model: {why}."


def _smaller_size(match: LogMatch) -> str:
    """The largest smaller size that fits the number, and the blocks where it has some."""
    size, number = match.config.tp_size, _number_to_split(match)
    block = whole_number(match["block"] or match["step"] or "1")
    # Those that divide the present size divide the model's heads as well; then powers of two.
    below = range(min(size, _MOST_RANKS) - 1, 1, -1)
    sizes = [one for one in below if size % one == 0]
    sizes += [one for one in below if one & (one - 1) == 0]
    smaller = next((one for one in (*sizes, 1) if _fits(number, block, one)), None)
    if smaller is None or smaller >= size:
        return (
            "No smaller --tp-size fits either: serve a checkpoint with another quantization, or "
            "without."
        )
    experts = (
        ""
        if not _splits_experts(match)
        else (f", or use `--ep-size {size}`, which gives each rank whole experts")
    )
    layers = f", or split the layers instead, `--pp-size {size}`" if smaller == 1 < size else ""
    return f"Lower --tp-size from {size} to {smaller}{experts or layers}."


def _fits(number: int, block: int, size: int) -> bool:
    """Whether so many ranks share a width evenly, each in whole blocks."""
    if not number:
        return size & (size - 1) == 0
    return number % size == 0 and (number // size) % block == 0


def _splits_experts(match: LogMatch) -> bool:
    if match["step"]:
        return True
    if not match["block"]:
        return False
    return match.came_through("moe") or "gate's and up's" in match.text or "down's" in match.text


def _number_to_split(match: LogMatch) -> int:
    """What the ranks would share evenly, or 0 where SGLang does not say it."""
    if match["block"]:
        return whole_number(match["width"]) * match.config.tp_size
    return whole_number(match["whole"] or match["must"] or match["number"] or match["experts"])


def _other_size(match: LogMatch) -> str:
    flag = f"--{match['size']}-size"
    value = value_of(match.config, flag)
    given = f" {value}" if value else ""
    return f"The {_SIZES[match['size']]} size{given} does not divide what it has to share."


def _divide_evenly(match: LogMatch) -> str:
    flag = f"--{match['size']}-size"
    return (
        f"Choose another {written(flag)}, one that divides it (its name stands in the check; the "
        "number in the model's config.json), as a rule a power of two; or leave it out."
    )


ERRORS: Final = {
    "tensor-parallel-size": LogCause(
        # layers/quantization/fp8.py, its kernels' tiles (Marlin), distributed/utils.py, models/
        pattern=r"^[\w.]*Error: (?:(?P<number>\d+) is not divisible by \d+"
        r"|[\w' ]*?(?:size_[nk]|_size(?:_per_partition)?|_size of [\w' ]{1,40}) ?= ?"
        r"(?P<width>\d+) is not (?:divisible by|a multiple of) [\w ]{1,60}= ?(?P<block>[1-9]\d*)"
        r"|.*?(?P<must>\d+) must be divisible by \w*tp_size"
        r"|.*?(?P<features>features?) size is not (?:a )?multiple of \d+"
        r"|Tensor parallel size \d+ is greater than the number of experts (?P<experts>\d+)"
        r"|.*\(\w+=(?P<whole>\d+) / \w*tp_size=\d+\) % \w+=(?P<step>[1-9]\d*) == 0)"
        r"|^[\w.]*Error: .*(?:too large tensor parallel size|not aligned with the quantized weight)"
        r"|^[\w.]*Error: .*(?:[Tt]ensor parallel|\btp|world)[\w ]{0,12}size.{0,40}"
        r"(?:must|does not|should|has to|cannot) (?:evenly )?divide"
        r"|^[\w.]*Error: .*(?:divisible by|multiple of) (?:the )?(?:[Tt]ensor parallel|tp_size"
        r"|attn_tp_size)"
        r"|^\s+assert .*heads % (?:attn_)?tp_size == 0",
        sample="AssertionError: 1408 is not divisible by 3\n"
        "ValueError: Weight output_partition_size = 704 is not divisible by weight quantization "
        "block_n = 128.\n"
        "ValueError: Tensor parallel size 2 is greater than the number of experts 1.",
        applies=lambda match: not match["features"] or match.config.tp_size > 1,
        summary=_size_does_not_fit,
        action=_smaller_size,
        remedy="**Lower** `--tp-size`.",
    ),
    "parallel-size": LogCause(
        pattern=r"^\s+assert [\w.\[\]() ]{1,80}? % (?:self\.)?(?:\w+_)?(?P<size>ep|pp|dp)"
        r"_size\w* == 0",
        sample="    assert self._num_global_routed % storage_ep_size == 0",
        summary=_other_size,
        action=_divide_evenly,
        remedy="Choose a size that divides what is shared, or leave the option out.",
    ),
}
