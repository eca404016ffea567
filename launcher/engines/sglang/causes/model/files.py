"""What is wrong with the model's files: missing, damaged, or of a kind that SGLang does not know.

The texts are those of SGLang, transformers and safetensors.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import LogCause, LogMatch, raised


def _unknown_architecture(match: LogMatch) -> str:
    name = (
        match["name"]
        or match["processor"]
        or match["unregistered"]
        or match["other"]
        or match["type"]
    )
    return f"This SGLang does not know the architecture {name}."


def _is_model_type(match: LogMatch) -> bool:
    """Whether transformers looked a model's type up, and did not say so itself afterwards."""
    said = any("trying to load has model type" in line for line in match.end.lines)
    return not said and match.in_folder("configuration_auto", "hf_transformers")


def _known_architecture(match: LogMatch) -> str:
    if match["type"]:
        return (
            "Serve it with a newer SGLang and the transformers that it asks for, or another model; "
            "if the model brings its own code and you have read it, `--trust-remote-code`."
        )
    return (
        "Serve a model of a known architecture (GLM-4.5-Air is Glm4MoeForCausalLM), or a newer "
        "SGLang."
    )


ERRORS: Final = {
    "damaged-shard": LogCause(
        pattern=r"SafetensorError: Error while deserializing(?: header)?: (?P<why>.+)",
        sample="SafetensorError: Error while deserializing header: header too large",
        summary=lambda match: (
            f"A weight file of {match.config.model_path} is damaged or cut short: "
            f"{match['why'].strip()}."
        ),
        action="Fetch the *.safetensors again whose size or checksum is not the published one.",
    ),
    "missing-shard": LogCause(
        pattern=raised(
            r".* references (?P<count>\d+) shard file\(s\) missing from (?P<folder>\S+) "
            r"\(incomplete download\?\): \[(?P<names>[^\]]*)"
        ),
        sample="RuntimeError: model.safetensors.index.json references 1 shard file(s) missing from "
        "/models/nano (incomplete download?): ['model-00002-of-00002.safetensors']",
        summary="Of the weight files that the index names, {count} are missing from {folder}: "
        "{names}.",
        action="Fetch those files again; the download is incomplete.",
    ),
    "no-weights": LogCause(
        pattern=raised(
            r"(?:Cannot find any model weights with|No model weights found in:) "
            r"`(?P<folder>[^`]*)`"
        ),
        sample="RuntimeError: Cannot find any model weights with `/models/nano`",
        summary="There are no weight files in {folder}.",
        action="Check --model-path; safetensors files are looked for.",
    ),
    "config-malformed": LogCause(
        pattern=raised(r"It looks like the config file at '(?P<file>[^']*)' is not a valid JSON"),
        sample="OSError: It looks like the config file at '/nano/config.json' is not a valid JSON",
        summary="The file {file} is not valid JSON.",
        action="Fetch that file again.",
    ),
    "config-missing": LogCause(
        pattern=raised(
            r"Unrecognized model in (?P<folder>\S+?)\. Should have a `model_type` key"
            r"|.* does not appear to have a file named config\.json"
        ),
        sample="ValueError: Unrecognized model in /models/nano. Should have a `model_type` key",
        summary=lambda match: (
            f"The model {match['folder'] or match.config.model_path} has no config.json that names "
            "its type."
        ),
        action="Check --model-path, or fetch config.json again.",
    ),
    "unknown-architecture": LogCause(
        pattern=raised(
            r"Model architectures \[?'?(?P<name>\w+).* (?:are not supported|failed to be inspected)"
            r"|Cannot find corresponding multimodal processor registered in sglang for model type "
            r"`(?P<processor>\w+)`"
            r"|No \w+ registered for architecture: \['?(?P<unregistered>\w+)"
            r"|Cannot find model module\. '(?P<other>\w+)' is not a registered model"
            r"|The checkpoint you are trying to load has model type `(?P<type>\w+)` but"
        ),
        sample="ValueError: Model architectures ['Glm9Moe'] are not supported for now.\n"
        "ValueError: Cannot find model module. 'Glm9Moe' is not a registered model\n"
        "ValueError: The checkpoint you are trying to load has model type `glm9_moe` but",
        summary=_unknown_architecture,
        action=_known_architecture,
        remedy="Serve a model of a known architecture, or a newer SGLang with its transformers.",
    ),
    "unknown-model-type": LogCause(
        pattern=r"^KeyError: '(?P<type>[\w.-]{1,60})'$",
        applies=_is_model_type,
        sample="Traceback (most recent call last):\n"
        '  File "transformers/models/auto/configuration_auto.py", line 77, in __getitem__\n'
        "KeyError: 'llava_qwen'",
        summary="The installed transformers does not know the model type {type} of config.json.",
        action="Serve the model's version in the form of transformers (often named -hf), a newer "
        "SGLang with the transformers that it asks for, or, if the model brings its own code and "
        "you have read it, `--trust-remote-code`.",
        looks="a `KeyError` below `configuration_auto.py`",
    ),
    "code-not-trusted": LogCause(
        pattern=raised(r".*(?:contains custom code which must be executed|trust_remote_code=True)"),
        sample="ValueError: example/model contains custom code which must be executed\n"
        "ValueError: Please pass the argument `trust_remote_code=True`",
        summary="The model {config.model_path} brings untrusted Python code of its own.",
        action="Read that code first; then `--trust-remote-code` runs it.",
    ),
    "tokenizer-missing": LogCause(
        pattern=raised(r"Couldn't instantiate the backend tokenizer|Can't load tokenizer for"),
        sample="ValueError: Couldn't instantiate the backend tokenizer from one of:",
        summary="The tokenizer of {config.model_path} cannot be loaded.",
        action="Fetch tokenizer.json and tokenizer_config.json again.",
    ),
}
