"""Keys of strangers: in no YAML, no note and no error, wherever they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launcher.errors import SpecserveError
from launcher.importing.recognise import choose, launches_of_file
from launcher.importing.translate import translate

SECRET = "s3cr3t-v4lue"  # noqa: S105  # looked for
SERVE = "sglang serve --model-path org/M"
DOCKER = f"img {SERVE}"


@pytest.mark.parametrize(
    "text",
    [
        f"{SERVE} --api-key {SECRET}",
        f"{SERVE} --admin-api-key={SECRET}",
        f"{SERVE} --ssl-keyfile-password {SECRET}",
        f"{SERVE} --otlp-traces-endpoint http://u:{SECRET}@h:4317",
        f'{SERVE} --hicache-storage-backend-extra-config \'{{"password": "{SECRET}"}}\'',
        f'{SERVE} --revision $(curl -H "Authorization: Bearer {SECRET}" x)',
        f"{SERVE} --no-such-option {SECRET}",
        f"vllm serve org/M --hf-token {SECRET} --ssl-keyfile-password {SECRET}",
        f"vllm serve --api-key a {SECRET} --model org/M",
        f"HF_TOKEN={SECRET} {SERVE}",
        f"export my_pat={SECRET} PASS={SECRET} db_password={SECRET}\n{SERVE}",
        f"export OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer {SECRET}'\n{SERVE}",
        f"export AZURE_STORAGE_CONNECTION_STRING='AccountKey={SECRET}'\n{SERVE}",
        f"export HF_ENDPOINT=https://u:{SECRET}@h\n{SERVE}",
        f"sshpass -p{SECRET} x\nenv HF_TOKEN={SECRET} y\ncurl https://u:{SECRET}@h/x\n{SERVE}",
        f"docker run -eHF_TOKEN={SECRET} -e API_TOKEN={SECRET} {DOCKER}",
        f"docker run --health-cmd \"curl -H 'Authorization: Bearer {SECRET}' x\" {DOCKER}",
        f"docker run -e VLLM_API_KEY={SECRET} vllm/vllm-openai --model org/M",
        f"[Service]\nExecStartPre=x -p {SECRET}\nSetCredential=hf:{SECRET}\nExecStart={SERVE}",
        f"services: {{a: {{command: {SERVE}, environment: [HF_TOKEN={SECRET}]}}}}",
    ],
)
def test_a_secret_is_shown_nowhere(text: str) -> None:
    name = "x.service" if text.startswith("[") else "x.yaml" if text.startswith("serv") else "x.sh"
    try:
        made = translate(*choose(launches_of_file(text, name, {}, None), None))
        told = json.dumps([made.as_yaml(), made.taken, made.added, made.dropped])
    except SpecserveError as error:
        told = f"{error.problem} {error.action} {error.evidence}"
    assert SECRET not in told


def imported(text: str, folder: Path | None = None, **variables: str) -> dict[str, object]:
    name = "x.yaml" if text.startswith("services") else "x.sh"
    return dict(translate(*choose(launches_of_file(text, name, variables, folder), None)).fields)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "if [ $A = b ]; then TP=8; else TP=1; fi\n" + SERVE + " --tp $TP",
            "TP}, set on a condition",
        ),
        ("[ -z $P ] && P=1\n" + SERVE + " --port $P", "P}, set on a condition"),
        ("A=(x)\nif b; then A+=(--c); fi\n" + SERVE + ' "${A[@]}"', "A}, set on a condition"),
        ("A=aaaaaaaaaa\n" + "A=$A$A\n" * 30 + SERVE + " --revision $A", "characters once it is"),
        (SERVE + " --tp $1", "$1 is not filled in"),
        ("TP=\n" + SERVE + " --tp $TP", "takes one value, and 0 were given"),
        (SERVE + " --attention-backend nonsense", "is none of"),
    ],
)
def test_what_only_a_run_could_tell_is_refused(text: str, told: str) -> None:
    with pytest.raises(SpecserveError) as caught:
        imported(text)
    assert told in caught.value.problem


def test_an_argument_of_the_script_falls_back_to_its_default() -> None:
    assert imported("M=${1:-org/M}\nsglang serve --model-path $M")["model_path"] == "org/M"


def test_a_subshell_moves_no_folder(tmp_path: Path) -> None:
    made = imported("(cd /opt && make)\nsglang serve --model-path ./m", tmp_path)
    assert made["model_path"] == str(tmp_path / "m")


def test_relative_paths_are_those_of_the_script(tmp_path: Path) -> None:
    made = imported(SERVE + " --chat-template ./t.jinja", tmp_path)
    assert made["extra_args"] == ["--chat-template", str(tmp_path / "t.jinja")]


def test_compose_reads_its_env_file_beside(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"MODEL=org/M\nHF_TOKEN={SECRET}\n")
    text = "services: {a: {command: 'sglang serve --model-path ${MODEL}', restart: no}}"
    made = imported(text, tmp_path)
    assert (made["model_path"], made["restart"]) == ("org/M", "never")


@pytest.mark.parametrize(
    "document",
    [
        "services: {a: {command: !!bool foo}}",
        "services: {a: {command: !!timestamp foo}}",
        "services: {a: {command: sglang serve --model-path org/M, ports: 8080, volumes: 5}}",
        "services: {a: {command: 5, deploy: {replicas: [1]}}}",
        "spec: {containers: [{command: [x], resources: x, env: 5, ports: x, volumeMounts: 1}]}",
        "kind: Service\nspec: x\n---\nspec: {containers: [{command: [x]}]}",
        "spec: {containers: [{env: [" + "{name: B, value: $(A)$(A)}, " * 40 + "]}]}",
        "\n" * 200 + "sglang serve",
    ],
)
def test_a_malformed_document_is_no_crash(document: str) -> None:
    try:
        launches_of_file(document, "x.yaml" if ":" in document else "x.sh", {}, None)
    except SpecserveError as error:
        assert error.exit_code == 18  # noqa: PT017  # either outcome is right
