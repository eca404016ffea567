"""A configuration is checked once, and says by itself what it means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from launcher.config.server_config import ServerConfig
from tests.unit.launcher.examples import configs, make_config


@given(configs())
def test_a_configuration_survives_being_written_as_json(fields: dict[str, Any]) -> None:
    config = ServerConfig.model_validate(fields)

    assert ServerConfig.model_validate_json(config.model_dump_json()) == config
    assert ServerConfig.model_validate(config.model_dump(mode="json")) == config


def test_a_record_of_before_the_newest_fields_is_read() -> None:
    known = make_config().model_dump(mode="json")
    newest = {
        *("trust_remote_code", "pp_size", "dp_size", "enable_dp_attention", "ep_size"),
        *("quantization", "attention_backend", "chunked_prefill_size", "environment"),
    }

    old = {field: value for field, value in known.items() if field not in newest}

    assert len(old) == len(known) - len(newest)
    assert ServerConfig.model_validate(old) == make_config()


@pytest.mark.parametrize("size", [-1, 1, 4096])
def test_prompts_are_computed_in_chunks_or_whole(size: int) -> None:
    assert make_config(chunked_prefill_size=size).chunked_prefill_size == size


def test_groups_of_the_attention_share_the_ranks() -> None:
    make_config(tp_size=4, dp_size=2, enable_dp_attention=True)
    make_config(tp_size=4, dp_size=3)

    with pytest.raises(ValidationError, match="multiple"):
        make_config(tp_size=4, dp_size=3, enable_dp_attention=True)


def test_a_configuration_cannot_be_changed() -> None:
    config = make_config()

    with pytest.raises(ValidationError, match="frozen"):
        config.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": ""}, "name"),
        ({"name": "../up"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": ".hidden"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"model_path": ""}, "model_path"),
        ({"served_model_name": ""}, "served_model_name"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "eighty"}, "port"),
        ({"device": "tpu"}, "device"),
        ({"tp_size": 0}, "tp_size"),
        ({"tp_size": 65}, "tp_size"),
        ({"dtype": "int4"}, "dtype"),
        ({"kv_cache_dtype": "int4"}, "kv_cache_dtype"),
        ({"dp_size": 0}, "dp_size"),
        ({"pp_size": 65}, "pp_size"),
        ({"ep_size": True}, "ep_size"),
        ({"chunked_prefill_size": 0}, "chunked_prefill_size"),
        ({"chunked_prefill_size": -2}, "chunked_prefill_size"),
        ({"trust_remote_code": 1}, "trust_remote_code"),
        ({"mem_fraction_static": 0.0}, "mem_fraction_static"),
        ({"mem_fraction_static": 1.0}, "mem_fraction_static"),
        ({"max_total_tokens": 0}, "max_total_tokens"),
        ({"max_running_requests": 0}, "max_running_requests"),
        ({"context_length": 0}, "context_length"),
        ({"random_seed": -1}, "random_seed"),
        ({"start_timeout_seconds": 0}, "start_timeout_seconds"),
        ({"stop_timeout_seconds": -1}, "stop_timeout_seconds"),
        ({"drain_timeout_seconds": float("inf")}, "drain_timeout_seconds"),
        ({"revision": "two words"}, "revision"),
        ({"revision": ""}, "revision"),
        ({"speculative_algorithm": "MEDUSA"}, "speculative_algorithm"),
        ({"extra_args": "--one-string"}, "extra_args"),
        ({"prot": 8000}, "prot"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(
    fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        make_config(**fields)

    assert [error["loc"][0] for error in caught.value.errors()] == [complaint]


@pytest.mark.parametrize("revision", ["main", "v1.0_b", "refs/pr/3", "0" * 40])
def test_a_revision_is_a_commit_a_branch_or_a_tag(revision: str) -> None:
    assert make_config(revision=revision).revision == revision


@pytest.mark.parametrize(
    "numbers",
    [
        (None, 1, None),
        (None, None, 4),
        (None, 4, 8),
        (3, None, None),
        (3, None, 4),
        (3, 4, None),
    ],
)
@pytest.mark.parametrize("algorithm", ["EAGLE", "EAGLE3", "NEXTN"])
def test_the_numbers_of_speculation_come_together_or_not_at_all(
    algorithm: str, numbers: tuple[int | None, int | None, int | None]
) -> None:
    with pytest.raises(ValidationError, match="together or not at all"):
        make_speculative(algorithm, *numbers)


@pytest.mark.parametrize(
    "numbers", [(None, None, None), (3, 1, 4), (3, 1, None), (1, 1, 2), (3, 4, 8)]
)
def test_speculation_takes_all_its_numbers_or_leaves_them_to_sglang(
    numbers: tuple[int | None, int | None, int | None],
) -> None:
    assert make_speculative("EAGLE", *numbers).speculative_num_steps == numbers[0]


def test_a_chain_verifies_one_token_more_than_it_drafts() -> None:
    with pytest.raises(ValidationError, match="must be 4, not 5"):
        make_speculative("EAGLE", 3, 1, 5)


def test_numbers_of_speculation_do_not_matter_without_speculation() -> None:
    assert make_speculative(None, 3, 1, 9).speculative_algorithm is None


def test_ngram_speculation_needs_no_steps() -> None:
    assert make_speculative("NGRAM", None, None, 8).speculative_num_draft_tokens == 8


def test_standalone_speculation_needs_a_draft_model() -> None:
    with pytest.raises(ValidationError, match="needs speculative_draft_model_path"):
        make_speculative("STANDALONE", None, None, None)

    config = make_config(
        speculative_algorithm="STANDALONE", speculative_draft_model_path="/models/draft"
    )
    assert config.speculative_draft_model_path == "/models/draft"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_only_this_machine_reaches_loopback(host: str) -> None:
    assert make_config(host=host).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])  # noqa: S104
def test_others_reach_any_other_address(host: str) -> None:
    assert not make_config(host=host).is_loopback


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("localhost", "http://localhost:8123"),
        ("::1", "http://[::1]:8123"),
        ("0.0.0.0", "http://127.0.0.1:8123"),  # noqa: S104
        ("::", "http://[::1]:8123"),
        ("10.0.0.7", "http://10.0.0.7:8123"),
    ],
)
def test_the_url_is_one_that_a_client_here_can_call(host: str, url: str) -> None:
    assert make_config(host=host, port=8123, api_key_file="/keys/key").base_url == url


@pytest.mark.parametrize(
    ("model_path", "is_repository"),
    [
        ("zai-org/GLM-4.5-Air-FP8", True),
        ("owner_1/name.v2", True),
        ("/models/tiny", False),
        ("./models", False),
        ("../models", False),
        ("models", False),
        ("models/tiny/fp8", False),
        ("models/", False),
        ("-owner/name", False),
    ],
)
def test_a_repository_has_an_owner_and_a_name(model_path: str, *, is_repository: bool) -> None:
    assert make_config(model_path=model_path).is_repository is is_repository


def test_every_field_has_a_help_text() -> None:
    assert [
        name for name, field in ServerConfig.model_fields.items() if not field.description
    ] == []


def make_speculative(
    algorithm: str | None, steps: int | None, topk: int | None, draft_tokens: int | None
) -> ServerConfig:
    return make_config(
        speculative_algorithm=algorithm,
        speculative_num_steps=steps,
        speculative_eagle_topk=topk,
        speculative_num_draft_tokens=draft_tokens,
    )
