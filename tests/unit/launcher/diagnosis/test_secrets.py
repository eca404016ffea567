"""What is hidden of a log, and what is not: names, forms and quotes, each with each."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.config.fields.secret_names import is_secret_name
from launcher.diagnosis.secrets import REDACTED, remove_secrets

KEY: Final = "Zx81Qm47Lp09Tr55"
NAMES: Final = (
    *(
        "api_key",
        "api-key",
        "apikey",
        "API_KEY",
        "apiKey",
        "admin_api_key",
        "x-api-key",
        "X-Api-Key",
    ),
    *(
        "PGPASSWORD",
        "HF_TOKEN",
        "hf_token",
        "hub-token",
        "HUGGING_FACE_HUB_TOKEN",
        "accessToken",
        "auth_token",
    ),
    *("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key", "secretAccessKey", "AWS_SESSION_TOKEN"),
    *(
        "AWS_ACCESS_KEY_ID",
        "WANDB_API_KEY",
        "OPENAI_API_KEY",
        "SPECSERVE_ADMIN_KEY",
        "client_secret",
    ),
    *("password", "PASSWORD", "db_password", "DB_PASS", "ssl_keyfile_password", "passphrase"),
    *("MYSQL_PWD", "private_key", "AccountKey", "SharedAccessKey", "credentials", "GITHUB_TOKEN"),
    *("encryption-key", "access.key", "bearer_token", "npm_config__auth", "my.service.secret"),
)
FORMS: Final = (
    *("{name}={key}", "{name}='{key}'", '{name}="{key}"', "{name}: {key}", "{name}: '{key}'"),
    *("'{name}': '{key}'", '"{name}": "{key}"', '{{"{name}":"{key}","a":1}}', "{name} = {key}"),
    *("['{name}', '{key}']", '["--{name}","{key}"]', "('--{name}', '{key}', '--port', '1')"),
    *("--{name} {key}", "--{name}={key}", "-e {name}={key}", "export {name}='{key}'"),
    *("ServerArgs({name}='{key}', tp_size=2)", "ServerArgs(a=1, {name}={key})"),
    *("environ({{'{name}': '{key}', 'HOME': '/root'}})", "(b'{name}', b'{key}')"),
    *('{{\\"{name}\\": \\"{key}\\"}}', "https://host/x?{name}={key}&y=1", "<{name}>{key}</{name}>"),
    *("curl -H '{name}: {key}' http://h", "os.environ['{name}'] = '{key}'"),
    *("name: {name}, value: {key}", '{{"name": "{name}", "value": "{key}"}}'),
    *("{name}={key},port=30000", "{name}={key};b", "  {name}:   {key}"),
)
TAILS: Final = ("", " is refused", ", tp_size=2)")
STAY: Final = (
    *("max_total_tokens=4096", "tokenizer='/models/glm'", "tokenizer_path: /models/glm"),
    *(
        "num_tokens=17, max_new_tokens: 4096",
        "#new-token: 512, #cached-token: 8192, token usage: 0.42",
    ),
    *("eos_token='<|endoftext|>', pad_token_id=151329", "KeyError: 'model.layers.0.mlp.weight'"),
    *(
        "Unexpected key(s) in state_dict: 'lm_head.weight'",
        "missing key: model.embed_tokens.weight",
    ),
    *("--api-key has no effect", "HF_TOKEN is not set", "api_key=None, admin_api_key=None"),
    *("'api_key': None, 'port': 1", "ssl_keyfile='/etc/ssl/a.pem'", "--api-key-file /run/keys/api"),
    *("kv_cache_dtype='fp8_e4m3', num_key_value_heads=8", "q_proj, key=0, keys: 3, key_states 4"),
    *("basic attention backend", "Basic usage: python", "author: somebody", "the token is invalid"),
    *("https://github.com/sgl-project/sglang/issues/1234", "git+ssh://git@github.com/a/b"),
    *("enable_auth=True", "PWD=/root/work, OLDPWD=/root", "Signature (a: int) -> None"),
    *("RuntimeError: size_n = 1824 is not divisible by tile_n_size = 64", "secret_name=None"),
    *("tokens=[1, 2, 3]", "tool_call_parser='glm45'", "cache_key='layer.0.k'", "test pass: 3"),
    *("--max-total-tokens 4096 --served-model-name key", "speculative_token_map=None"),
    *("--admin-api-key: the native gRPC listener", "password: must be set"),
    *("torch.nn.attention.bias", "risk-free-lunch-for-everybody", "tokens per second: 123.4"),
)


@pytest.mark.parametrize("name", NAMES)
def test_the_value_of_a_secret_name_is_hidden_in_every_form(name: str) -> None:
    assert is_secret_name(name)
    shown = {}
    for form, tail in product(FORMS, TAILS):
        line = f"ValueError: {form.format(name=name, key=KEY)}{tail}"
        shown[line] = "\n".join(remove_secrets((line,)))
    assert not {line: text for line, text in shown.items() if KEY in text}
    assert not {line for line, text in shown.items() if REDACTED not in text}
    kept = [text for line, text in shown.items() if "tp_size=2" in line and "tp_size=2" not in text]
    assert not kept


@pytest.mark.parametrize("line", STAY)
def test_what_only_resembles_a_secret_stays(line: str) -> None:
    assert remove_secrets((line,)) == (line,)


@pytest.mark.parametrize(
    "secret",
    [
        *(
            "hf_abcdefGHIJKLMNOP1234567890",
            "sk-proj-abcDEF1234567890abcdef",
            "AKIAIOSFODNN7EXAMPLE",
        ),
        *("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "xoxb-1234567890-abcdefghij"),
        *(
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
            "glpat-abcdefghijklmnop1234",
        ),
        *("AIzaSyA1234567890abcdefghijklmnopqrstuv", "nvapi-abcdefghijklmnopqrstuv123456"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "invalid: {}.", "'{}'", "token {} refused", "x={}&y"])
def test_a_known_shape_is_hidden_wherever_it_stands(secret: str, form: str) -> None:
    (shown,) = remove_secrets((form.format(secret),))
    assert secret not in shown
    assert secret[-12:] not in shown


@pytest.mark.parametrize(
    "line",
    [
        f"https://user:{KEY}@host/x",
        f"redis://:{KEY}@10.0.0.1:6379/0",
        f"git clone https://{KEY}@github.com/a/b",
        f"Authorization: Basic {KEY}==",
        f"Authorization: Bearer {KEY}",
        f"'authorization': 'Bearer {KEY}'",
        f"(b'authorization', b'Bearer {KEY}')",
        f"proxy-authorization: Digest {KEY}",
        f"curl -u admin:{KEY} http://h",
        f"curl -s --user 'admin:{KEY}' http://h",
        f"Cookie: session={KEY}",
        f"https://h/x?key={KEY}",
        f"https://h/x?a=1&sig={KEY}&b=2",
        f'api_key="{KEY}\'34\\"567"',
        f"api_keys=['{KEY}']",
        f"-----BEGIN RSA PRIVATE KEY-----\\n{KEY}\\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_a_secret_is_hidden_by_its_place(line: str) -> None:
    (shown,) = remove_secrets((line,))
    assert KEY not in shown
    assert REDACTED in shown


def test_a_private_key_over_several_lines_is_hidden_and_what_follows_stays() -> None:
    lines = ("-----BEGIN PRIVATE KEY-----", f"{KEY}{KEY}", f"{KEY}==", "-----END PRIVATE KEY-----")
    shown = remove_secrets((*lines, "RuntimeError: after it"))
    assert KEY not in "\n".join(shown)
    assert shown[-1] == "RuntimeError: after it"


@pytest.mark.parametrize(
    "lines",
    [
        ("  '--api-key',", f"  '{KEY}',"),
        ("--api-key \\", f"  {KEY} \\"),
        ("- name: HF_TOKEN", f"  value: {KEY}"),
        ('"name": "HF_TOKEN",', f'"value": "{KEY}"'),
    ],
)
def test_a_value_in_the_line_after_its_name_is_hidden(lines: tuple[str, ...]) -> None:
    shown = remove_secrets((*lines, "port: 30000"))
    assert KEY not in "\n".join(shown)
    assert shown[-1] == "port: 30000"


def test_a_key_that_was_named_once_is_hidden_wherever_it_stands() -> None:
    lines = (f"ValueError: {KEY} is wrong", f"server_args=ServerArgs(api_key='{KEY}', tp_size=2)")
    shown = remove_secrets(lines)
    assert shown[0] == f"ValueError: {REDACTED} is wrong"
    assert "tp_size=2" in shown[1]


@pytest.mark.parametrize(
    "unit", ["key-", "api_key=", "a_token", "'key', ", "://a", "eyJa.", "\\", "--"]
)
def test_no_repetition_costs_more_than_its_length(unit: str) -> None:
    # It ends: a pattern that tries each part of the line for each other part would not.
    assert remove_secrets((unit * (60_000 // len(unit)),))


@given(st.lists(st.text(alphabet="key-_='\": \\token[]{}(),.?&@/A1", max_size=80), max_size=5))
def test_no_line_whatever_makes_it_fail(lines: list[str]) -> None:
    assert len(remove_secrets(lines)) == len(lines)
