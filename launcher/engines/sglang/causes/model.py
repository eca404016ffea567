"""Causes that lie with what is to be served: model files, the hub, arguments.

The texts are those of sglang 0.5.23, transformers, huggingface_hub, safetensors and argparse.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

from launcher.engines.causes import Entry, Finding, Retry, Words
from launcher.text import nearest

_HUB: Final = "https://huggingface.co"


def _at_start(texts: str) -> re.Pattern[str]:
    """A pattern for the line that ends a traceback: an exception's class, then one of the texts.

    Anchored there since libraries mention like words in passing.
    """
    return re.compile(rf"^[\w.]*(?:Error|Exception|NotFound): (?:{texts})")


def _smaller_size(size: int, number: int) -> int:
    """The largest smaller tensor parallel size that divides a number, else a power of two."""
    fits = (lambda one: number % one == 0) if number else (lambda one: one & (one - 1) == 0)
    return next(filter(fits, range(size - 1, 0, -1)), 1)


def _damaged_shard(finding: Finding) -> Words:
    return Words(
        f"A weight file of {finding.config.model_path} is damaged or cut short: "
        f"{finding['why'].strip()}.",
        "Fetch the *.safetensors again whose size or checksum is not the published one.",
    )


def _missing_shard(finding: Finding) -> Words:
    return Words(
        f"Of the weight files that the index names, {finding['count']} are missing from "
        f"{finding['folder']}: {finding['names']}.",
        "Fetch those files again; the download is incomplete.",
    )


def _no_weights(finding: Finding) -> Words:
    return Words(
        f"There are no weight files in {finding['folder']}.",
        "Check --model-path; safetensors files are looked for.",
    )


def _weight_shape(finding: Finding) -> Words:
    return Words(
        f"The weights of {finding.config.model_path} do not have the shapes that its config.json "
        "says.",
        "Fetch config.json and the weights from the same revision.",
    )


def _malformed_config(finding: Finding) -> Words:
    return Words(f"The file {finding['file']} is not valid JSON.", "Fetch that file again.")


def _missing_config(finding: Finding) -> Words:
    return Words(
        f"The model {finding['folder'] or finding.config.model_path} has no config.json that names "
        "its type.",
        "Check --model-path, or fetch config.json again.",
    )


def _unknown_architecture(finding: Finding) -> Words:
    name = finding["name"] or finding["other"] or finding["type"]
    return Words(
        f"This SGLang does not know the architecture {name}.",
        "Serve a model of a known architecture (GLM-4.5-Air is Glm4MoeForCausalLM), or a newer "
        "SGLang.",
    )


def _remote_code(finding: Finding) -> Words:
    return Words(
        f"The model {finding.config.model_path} brings untrusted Python code of its own.",
        "Read that code first; then `-- --trust-remote-code` runs it.",
    )


def _unknown_quantization(finding: Finding) -> Words:
    return Words(
        f"This SGLang does not know the quantization {finding['method']}.",
        "Serve another checkpoint of the model, such as the FP8 one.",
    )


def _quantization_mismatch(finding: Finding) -> Words:
    return Words(
        f"The checkpoint is quantized with {finding['theirs']} and --quantization asks for "
        f"{finding['ours']}.",
        "Leave --quantization out: SGLang reads the method from the checkpoint.",
    )


def _not_quantized(finding: Finding) -> Words:
    return Words(
        f"The checkpoint is not quantized with {finding['method']}, which --quantization asks for.",
        "Leave --quantization out: SGLang reads the method from the checkpoint.",
    )


def _context(finding: Finding) -> Words:
    asked, allowed = finding["asked"], finding["allowed"]
    return Words(
        f"The context length {int(asked):,} is more than the model's {int(allowed):,}.",
        f"Lower --context-length from {asked} to {allowed}, or leave it out.",
    )


def _tensor_parallel(finding: Finding) -> Words:
    size = finding.config.tp_size
    number = int(finding["number"] or finding["experts"] or 0)
    if finding["experts"]:
        why = f"the model has {number} experts"
    elif number:
        why = f"{number} is not a multiple of it"
    else:
        why = "it does not divide the model's heads"
    return Words(
        f"The tensor parallel size {size} does not fit the model: {why}.",
        f"Lower --tp-size from {size} to {_smaller_size(size, number)}.",
    )


def _unknown_choice(finding: Finding) -> Words:
    value = finding["value"].strip("'")
    choices = re.findall(r"'([^']*)'", finding["choices"])
    return Words(
        f"SGLang does not take {value!r} for {finding['flag']}{nearest(value, choices)}.",
        f"Give {finding['flag']} one of the names in that line, or leave it out.",
    )


def _unknown_argument(finding: Finding) -> Words:
    return Words(
        f"SGLang does not take these arguments: {finding['arguments']}.",
        "Leave out, or correct, what stands behind `--`.",
    )


def _tokenizer(finding: Finding) -> Words:
    return Words(
        f"The tokenizer of {finding.config.model_path} cannot be loaded.",
        "Fetch tokenizer.json and tokenizer_config.json again.",
    )


def _gated(finding: Finding) -> Words:
    repository = finding.config.model_path
    return Words(
        f"The repository {repository} is gated and this account has no access.",
        f"Accept its licence at {_HUB}/{repository}, then `hf auth login` or set HF_TOKEN.",
    )


def _no_repository(finding: Finding) -> Words:
    return Words(
        f"The model {finding['name'] or finding.config.model_path} is neither a folder here nor a "
        "repository that this account sees.",
        "Check --model-path; for a private repository, `hf auth login` or set HF_TOKEN.",
    )


def _no_revision(finding: Finding) -> Words:
    revision = finding.config.revision or "of that name"
    return Words(
        f"The repository {finding.config.model_path} has no revision {revision}.",
        "Check --revision against the repository's list of commits, or leave it out.",
    )


def _no_hub(finding: Finding) -> Words:
    repository = finding.config.model_path
    return Words(
        f"The hub cannot be reached and {repository} is not, or not whole, in the local cache.",
        f"Once there is a network, `python -m launcher pull {repository}`; or --model-path of a "
        "folder here.",
    )


def _offline(finding: Finding) -> Words:
    repository = finding.config.model_path
    return Words(
        f"HF_HUB_OFFLINE is set and {repository} is not, or not whole, in the local cache.",
        f"With HF_HUB_OFFLINE unset, `python -m launcher pull {repository}`; or --model-path of a "
        "folder here.",
    )


def _no_draft(finding: Finding) -> Words:
    path = finding.config.speculative_draft_model_path
    return Words(
        f"The draft model {path} is neither a folder here nor a repository.",
        "Check --speculative-draft-model-path; without it EAGLE uses the model's own NextN layer.",
    )


def _is_the_draft(finding: Finding) -> bool:
    path = finding.config.speculative_draft_model_path
    return path is not None and path in finding.match.string


def _no_nextn(finding: Finding) -> Words:
    algorithm = finding.config.speculative_algorithm or "EAGLE"
    return Words(
        f"The model {finding.config.model_path} has no NextN layer for {algorithm} to draft with.",
        "Name a draft model with --speculative-draft-model-path, or use --no-speculation.",
    )


def _dtype(finding: Finding) -> Words:
    return Words(
        f"The type {finding['dtype']} is not supported with quantization {finding['method']}: "
        f"{finding['supported']} are.",
        f"Replace --dtype {finding.config.dtype} by --dtype {_first_dtype(finding['supported'])}.",
    )


def _first_dtype(listed: str) -> str:
    """'bfloat16' of '[torch.bfloat16, torch.half]'."""
    found = re.search(r"torch\.(\w+)", listed)
    return found[1] if found else "auto"


def _no_template(finding: Finding) -> Words:
    return Words(
        f"The chat template {PurePath(finding['file']).name} is neither a file nor a known name.",
        "Check what stands behind --chat-template, or leave it out.",
    )


ENTRIES: Final[tuple[Entry, ...]] = (
    Entry(
        name="damaged-shard",
        retry=Retry.NEVER,
        looks="`SafetensorError: Error while deserializing header`",
        remedy="fetch that file again",
        pattern=re.compile(r"SafetensorError: Error while deserializing(?: header)?: (?P<why>.+)"),
        explain=_damaged_shard,
    ),
    Entry(
        name="missing-shard",
        retry=Retry.NEVER,
        looks="`references 1 shard file(s) missing from …`",
        remedy="fetch those files again",
        pattern=_at_start(
            r".* references (?P<count>\d+) shard file\(s\) missing from (?P<folder>\S+) "
            r"\(incomplete download\?\): \[(?P<names>[^\]]*)"
        ),
        explain=_missing_shard,
    ),
    Entry(
        name="no-weights",
        retry=Retry.NEVER,
        looks="`Cannot find any model weights with …`",
        remedy="check `--model-path`",
        pattern=_at_start(
            r"(?:Cannot find any model weights with|No model weights found in:) "
            r"`(?P<folder>[^`]*)`"
        ),
        explain=_no_weights,
    ),
    Entry(
        name="config-malformed",
        retry=Retry.NEVER,
        looks="`the config file at … is not a valid JSON file`",
        remedy="fetch `config.json` again",
        pattern=_at_start(
            r"It looks like the config file at '(?P<file>[^']*)' is not a valid JSON"
        ),
        explain=_malformed_config,
    ),
    Entry(
        name="config-missing",
        retry=Retry.NEVER,
        looks="`Unrecognized model in … Should have a model_type key`",
        remedy="check `--model-path`",
        pattern=_at_start(
            r"Unrecognized model in (?P<folder>\S+?)\. Should have a `model_type` key"
            r"|.* does not appear to have a file named config\.json"
        ),
        explain=_missing_config,
    ),
    Entry(
        name="unknown-architecture",
        retry=Retry.NEVER,
        looks="`Model architectures … are not supported`, "
        "`Transformers does not recognize this architecture`",
        remedy="another model, or a newer SGLang",
        pattern=_at_start(
            r"Model architectures \[?'?(?P<name>\w+).* (?:are not supported|failed to be inspected)"
            r"|Cannot find model module\. '(?P<other>\w+)' is not a registered model"
            r"|The checkpoint you are trying to load has model type `(?P<type>\w+)` but"
        ),
        explain=_unknown_architecture,
    ),
    Entry(
        name="code-not-trusted",
        retry=Retry.NEVER,
        looks="`Please pass the argument trust_remote_code=True`",
        remedy="read the code, then `-- --trust-remote-code`",
        pattern=_at_start(
            r".*(?:contains custom code which must be executed|trust_remote_code=True)"
        ),
        explain=_remote_code,
    ),
    Entry(
        name="quantization-unknown",
        retry=Retry.NEVER,
        looks="`Unknown quantization method`",
        remedy="another checkpoint",
        pattern=_at_start(
            r"(?:Unknown quantization method: |Invalid quantization method: )(?P<method>[\w-]+)"
        ),
        explain=_unknown_quantization,
    ),
    Entry(
        name="quantization-mismatch",
        retry=Retry.NEVER,
        looks="`Quantization method specified in the model config … does not match`",
        remedy="leave `--quantization` out",
        pattern=_at_start(
            r"Quantization method specified in the model config \((?P<theirs>[^)]*)\) does not "
            r"match the quantization method specified in the `quantization` argument "
            r"\((?P<ours>[^)]*)\)"
        ),
        explain=_quantization_mismatch,
    ),
    Entry(
        name="checkpoint-not-quantized",
        retry=Retry.NEVER,
        looks="`Cannot find the config file for awq`",
        remedy="leave `--quantization` out",
        pattern=_at_start(r"Cannot find the config file for (?P<method>[\w-]+)"),
        explain=_not_quantized,
    ),
    Entry(
        name="dtype-unsupported",
        retry=Retry.NEVER,
        looks="`torch.float16 is not supported for quantization method …`",
        remedy="a `--dtype` of those that it lists",
        pattern=_at_start(
            r"(?P<dtype>\S+) is not supported for quantization method (?P<method>\S+?)\. "
            r"Supported dtypes: (?P<supported>.*)"
        ),
        explain=_dtype,
    ),
    Entry(
        name="context-too-long",
        retry=Retry.NEVER,
        looks="`context_length (…) is greater than the derived context_length`",
        remedy="**lower** `--context-length`",
        # Only where it is an error: with an environment variable it is a warning.
        pattern=_at_start(
            r".*context_length \((?P<asked>\d+)\) is greater than the derived context_length "
            r"\((?P<allowed>\d+)\)"
        ),
        explain=_context,
    ),
    Entry(
        name="tensor-parallel-size",
        retry=Retry.NEVER,
        looks="`… is not divisible by …`, `greater than the number of experts`",
        remedy="**lower** `--tp-size`",
        pattern=re.compile(
            r"^\w*Error: (?:(?P<number>\d+) is not divisible by \d+"
            r"|Tensor parallel size \d+ is greater than the number of experts (?P<experts>\d+))"
            r"|^\s+assert .*heads % (?:attn_)?tp_size == 0"
        ),
        explain=_tensor_parallel,
    ),
    Entry(
        name="weights-do-not-fit-config",
        retry=Retry.NEVER,
        looks="`size mismatch`, a failed assertion on `loaded_weight.shape`",
        remedy="`config.json` and weights of one revision",
        pattern=re.compile(
            r"^\w*Error: .*(?:size mismatch|must match the size of tensor)"
            r"|^\s+assert .*\.(?:shape|size\(\)) == loaded_weight\.(?:shape|size\(\))"
            r"|^\w*Error: Attempted to load weight \("
        ),
        applies=lambda finding: not finding.ending.served,
        explain=_weight_shape,
    ),
    Entry(
        name="unknown-choice",
        retry=Retry.NEVER,
        looks="`argument --tool-call-parser: invalid choice`",
        remedy="one of the names that it lists",
        pattern=re.compile(
            r"error: argument (?P<flag>--[\w-]+)[\w/-]*: invalid choice: (?P<value>\S+)"
            r"(?: \(choose from (?P<choices>[^)]*))?"
        ),
        explain=_unknown_choice,
    ),
    Entry(
        name="unknown-argument",
        retry=Retry.NEVER,
        looks="`error: unrecognized arguments`",
        remedy="correct what stands behind `--`",
        pattern=re.compile(r"error: unrecognized arguments: (?P<arguments>.+)"),
        explain=_unknown_argument,
    ),
    Entry(
        name="tokenizer-missing",
        retry=Retry.NEVER,
        looks="`Couldn't instantiate the backend tokenizer`",
        remedy="fetch `tokenizer.json` again",
        pattern=_at_start(r"Couldn't instantiate the backend tokenizer|Can't load tokenizer for"),
        explain=_tokenizer,
    ),
    Entry(
        name="chat-template-missing",
        retry=Retry.NEVER,
        looks="`Chat template … is not a built-in template name or a valid path`",
        remedy="check `--chat-template`",
        pattern=_at_start(r".*[Cc]hat template (?P<file>\S+) is not a"),
        explain=_no_template,
    ),
    Entry(
        name="no-nextn-layer",
        retry=Retry.NEVER,
        looks="`Only 1 nextn layer is supported`, `num_nextn_predict_layers is not in the config`",
        remedy="`--speculative-draft-model-path`, or `--no-speculation`",
        pattern=_at_start(
            r"Only 1 nextn layer is supported|num_nextn_predict_layers is not in the config"
        ),
        explain=_no_nextn,
    ),
    Entry(
        name="hub-gated",
        retry=Retry.NEVER,
        looks="`Cannot access gated repo`, `You are trying to access a gated repo`",
        remedy="accept the licence, then `hf auth login`",
        pattern=re.compile(r"Cannot access gated repo|access a gated repo|is a gated repository"),
        explain=_gated,
    ),
    Entry(
        name="hub-no-revision",
        retry=Retry.NEVER,
        looks="`Revision Not Found`, `is not a valid git identifier`",
        remedy="check `--revision`",
        pattern=re.compile(r"^Revision Not Found for url|is not a valid git identifier"),
        explain=_no_revision,
    ),
    Entry(
        name="draft-model-missing",
        retry=Retry.NEVER,
        looks="any of the next row, for `--speculative-draft-model-path`",
        remedy="check that path",
        pattern=re.compile(
            r"Repo id must be in the form|is not a local folder|^Repository Not Found for url"
        ),
        applies=_is_the_draft,
        explain=_no_draft,
    ),
    Entry(
        name="hub-no-repository",
        retry=Retry.NEVER,
        looks="`Repository Not Found`, `is not a local folder and is not a valid model identifier`",
        remedy="check `--model-path`",
        pattern=re.compile(
            r"^(?:\w*Error: )?(?P<name>\S+) is not a local folder "
            r"|^Repository Not Found for url"
            r"|Repo id must be in the form .*: '(?P<id>[^']*)'"
        ),
        explain=_no_repository,
    ),
    Entry(
        name="hub-offline",
        retry=Retry.NEVER,
        looks="`outgoing traffic has been disabled`, `offline mode is enabled`",
        remedy="`pull` beforehand, or unset `HF_HUB_OFFLINE`",
        pattern=re.compile(
            r"^[\w.]*LocalEntryNotFoundError: .*outgoing traffic has been disabled"
            r"|^[\w.]*OfflineModeIsEnabled: "
        ),
        explain=_offline,
    ),
    Entry(
        name="hub-unreachable",
        retry=Retry.ALWAYS,
        looks="`We couldn't connect to 'https://huggingface.co'`, `LocalEntryNotFoundError`",
        remedy="`pull` beforehand, or a local folder",
        pattern=re.compile(
            r"^\w*Error: We couldn't connect to '"
            r"|^[\w.]*LocalEntryNotFoundError: "
        ),
        explain=_no_hub,
    ),
)
