"""What cannot be exported is refused with its reason, before anything is written."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from launcher.errors import ConfigError, SecretInArgumentsError, UnexportableError, UnknownFlagError
from launcher.exporting.request import dns_label
from tests.unit.launcher.exporting.scenes import (
    COMMIT,
    KINDS,
    PINNED,
    cached_model,
    documents,
    exported,
    of_kind,
    run,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--preset", "nano"), "embedded in this launcher"),
        (("--model-path", "/models/mine"), "on this machine alone"),
        (("--model-path", "./mine"), "on this machine alone"),
        ((*PINNED, "--device", "cpu"), "The device is cpu"),
        (
            (*PINNED, "--speculative-draft-model-path", "/models/draft"),
            "speculative_draft_model_path is '/models/draft'",
        ),
        ((*PINNED, "--", "--chat-template", "/etc/chat.jinja"), "--chat-template names"),
        ((*PINNED, "--", "--chat-template=../chat.jinja"), "--chat-template names"),
        ((*PINNED, "--", "--lora-paths", "a=/data/a"), "--lora-paths names"),
        ((*PINNED, "--environment", "TRITON_CACHE_DIR=/data/t"), "The variable TRITON_CACHE_DIR"),
        ((*PINNED, "--gpu-ids", "0,1"), "gpu_ids is set"),
        ((*PINNED, "--discovery-file", "/run/fleet.json"), "discovery_file is set"),
        (
            ("--model-path", "org/Unknown", "--revision", COMMIT, "--tp-size", "2"),
            "size of org/Unknown is not known",
        ),
    ],
)
def test_what_is_of_this_machine_alone_is_refused(
    kind: str, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UnexportableError, match=said) as refused:
        run(kind, *arguments)
    assert refused.value.exit_code == 19
    assert refused.value.action


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--", "--api-key", "0123456789abcdef0123"), SecretInArgumentsError),
        (("--", "--nccl-port", "no"), UnknownFlagError),
        (("--", "--disaggregation-mode", "prefill"), ConfigError),
    ],
)
def test_what_a_start_refuses_is_refused_here(
    kind: str, arguments: tuple[str, ...], error: type[ConfigError]
) -> None:
    with pytest.raises(error) as refused:
        run(kind, *PINNED, *arguments)
    assert "0123456789abcdef0123" not in f"{refused.value} {refused.value.action}"


@pytest.mark.parametrize("kind", ["kubernetes", "leaderworkerset"])
def test_a_cluster_restarts_whatever_ends(kind: str) -> None:
    with pytest.raises(UnexportableError, match="restart is never"):
        run(kind, *PINNED, "--restart", "never")


@pytest.mark.parametrize("kind", ["kubernetes", "compose", "skypilot"])
def test_several_replicas_want_a_commit(kind: str) -> None:
    with pytest.raises(UnexportableError, match="3 machines"):
        run(kind, "--preset", "glm-4.5-air-fp8", "--revision", "main", "--replicas", "3")


def test_one_server_says_that_it_is_not_pinned() -> None:
    assert "is not pinned" in run("kubernetes", "--preset", "glm-4.5-air-fp8").stderr
    assert "is not pinned" in exported("kubernetes", "--preset", "glm-4.5-air-fp8")
    assert "is not pinned" not in exported("kubernetes", *PINNED)


def test_a_model_of_the_hubs_cache_is_pinned_and_measured(hub_cache: Path) -> None:
    cached_model(hub_cache, "org/Model", COMMIT, 100 * 1024**3)
    cached_model(hub_cache, "org/Draft", COMMIT[::-1], 10 * 1024**3)
    found = documents(
        *("kubernetes", "--model-path", "org/Model", "--speculative-algorithm", "EAGLE3"),
        *("--speculative-draft-model-path", "org/Draft", "--replicas", "2"),
    )
    made = of_kind(found, "StatefulSet")["spec"]
    first, second = made["template"]["spec"]["initContainers"]
    assert first["args"][:4] == ["download", "org/Model", "--revision", COMMIT]
    assert second["args"][:4] == ["download", "org/Draft", "--revision", COMMIT[::-1]]
    (server,) = made["template"]["spec"]["containers"]
    options = dict(pairwise(server["args"]))
    assert options["--revision"] == COMMIT
    # Offline, the engine finds only what it is named.
    assert options["--speculative-draft-model-revision"] == COMMIT[::-1]
    (claim,) = made["volumeClaimTemplates"]
    # 110 GiB and a twentieth, 16 GiB, up to the next ten.
    assert claim["spec"]["resources"]["requests"] == {"storage": "140Gi"}


def test_a_draft_of_the_same_repository_has_the_same_commit() -> None:
    model = "zai-org/GLM-4.5-Air-FP8"
    found = documents("kubernetes", *PINNED, "--speculative-draft-model-path", model)
    pod = of_kind(found, "Deployment")["spec"]["template"]["spec"]
    assert len(pod["initContainers"]) == 1
    (server,) = pod["containers"]
    options = dict(pairwise(server["args"]))
    assert options["--speculative-draft-model-revision"] == COMMIT


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_needs_another_repository_is_not_cut_off(kind: str) -> None:
    offline, online = (
        run(kind, *PINNED, *words) for words in ((), ("--", "--tokenizer-path", "org/Tokenizer"))
    )
    assert "HF_HUB_OFFLINE" in offline.stdout
    assert "HF_HUB_OFFLINE" not in online.stdout
    assert "name another repository" in online.stderr


def test_a_stated_size_is_taken_as_it_is() -> None:
    found = documents(
        *("kubernetes", "--model-path", "org/Unknown", "--revision", COMMIT),
        *("--storage-gib", "77"),
    )
    claim = of_kind(found, "PersistentVolumeClaim")["spec"]
    assert claim["resources"]["requests"] == {"storage": "77Gi"}


@pytest.mark.parametrize(
    ("name", "label"), [("default", "default"), ("My_Server.2", "my-server-2"), ("a..b", "a-b")]
)
def test_a_name_becomes_one_of_a_cluster(name: str, label: str) -> None:
    assert dns_label(name) == label


@pytest.mark.parametrize("name", ["4models", "x" * 41, "9"])
def test_a_name_that_a_cluster_has_not_is_refused(name: str) -> None:
    with pytest.raises(UnexportableError, match="a letter first"):
        run("kubernetes", *PINNED, "--name", name)


@pytest.mark.parametrize("image", ["", "a b", "-x", "UPPER", "a\nb"])
def test_an_image_that_is_none_is_refused(image: str) -> None:
    done = run("kubernetes", *PINNED, "--image", image)
    assert done.exit_code == 2
