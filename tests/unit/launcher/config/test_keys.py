"""Keys that SGLang would misread are refused, and no message shows one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.config.keys import SHORTEST_KEY, read_keys
from launcher.errors import InvalidValueError
from launcher.names import API_KEY_VARIABLE
from tests.unit.launcher.examples import SECRET, make_config

if TYPE_CHECKING:
    from pathlib import Path


def read(file: Path) -> dict[str, str]:
    return read_keys(make_config(api_key_file=file), {})


def key_file(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    file = folder / "key"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)
    return file


@pytest.mark.parametrize("around", ["{}", "{}\n", " {}\r\n"])
def test_the_key_is_what_the_file_holds_without_the_line_end(tmp_path: Path, around: str) -> None:
    assert read(key_file(tmp_path, around.format(SECRET)))["api-key"] == SECRET


def test_the_admin_key_is_new_each_time_and_long(tmp_path: Path) -> None:
    file = key_file(tmp_path, SECRET)

    first, second = read(file)["admin-api-key"], read(file)["admin-api-key"]

    assert len({first, second, SECRET}) == 3
    assert len(bytes.fromhex(first)) == 32


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_file_open_to_others_is_refused_with_what_mends_it(tmp_path: Path, mode: int) -> None:
    file = key_file(tmp_path, SECRET, mode)

    with pytest.raises(InvalidValueError, match=f"has mode {mode:04o}") as caught:
        read(file)

    assert caught.value.action == f"Run `chmod 600 {file}`."


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_for_its_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    assert read(key_file(tmp_path, SECRET, mode))["api-key"] == SECRET


@pytest.mark.parametrize("key", ["", "\n", "None", "null", "x" * (SHORTEST_KEY - 1)])
def test_a_short_key_is_refused_with_its_length(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidValueError, match=f"has {len(key.strip())} characters; at least 16"):
        read(key_file(tmp_path, key))


def test_the_shortest_key_is_taken(tmp_path: Path) -> None:
    assert read(key_file(tmp_path, "k" * SHORTEST_KEY))["api-key"] == "k" * SHORTEST_KEY


@pytest.mark.parametrize(
    "key",
    [
        f"-{SECRET}",
        f"{SECRET} {SECRET}",
        f"{SECRET}\n{SECRET}",
        f"{SECRET}\t",  # stripped at the end only
        f"\x07{SECRET}",
        f"ü{SECRET}",
        # A log line shows these in other words, so that they could not be found there.
        f'"{SECRET}"',
        f"'{SECRET}'",
        f"{SECRET}\\",
        f"={SECRET}",
        f"{SECRET}={SECRET}",
    ],
)
def test_a_key_that_sglang_or_the_log_would_misread_is_refused_unseen(
    tmp_path: Path, key: str
) -> None:
    if key.strip() == SECRET:
        assert read(key_file(tmp_path, key))["api-key"] == SECRET
        return

    with pytest.raises(InvalidValueError, match="has a leading dash, or") as caught:
        read(key_file(tmp_path, key))

    assert SECRET not in caught.value.problem + caught.value.action
    assert caught.value.__cause__ is None


@settings(max_examples=30)  # each writes a file
@given(st.from_regex(r"[A-Za-z0-9._~+/][A-Za-z0-9._~+/-]{15,80}={0,2}", fullmatch=True))
def test_every_bearer_token_is_taken_and_shown_by_python_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    key_read = read(key_file(tmp_path_factory.mktemp("keys"), key))["api-key"]

    assert key_read == key
    assert key in repr({"api_key": key_read})


def test_a_file_that_cannot_be_read_is_told_with_what_makes_one(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(InvalidValueError, match="No such file") as caught:
        read(missing)
    assert f"openssl rand -hex 32 > {missing}" in caught.value.action

    with pytest.raises(InvalidValueError, match="Is a directory"):
        read(tmp_path)
    with pytest.raises(InvalidValueError, match="not UTF-8"):
        read(key_file(tmp_path, b"\xff\xfe" + SECRET.encode()))


def test_the_environment_may_hold_the_key_and_a_file_is_stronger(tmp_path: Path) -> None:
    environment = {API_KEY_VARIABLE: SECRET}
    assert read_keys(make_config(), environment)["api-key"] == SECRET
    other = key_file(tmp_path, "k" * SHORTEST_KEY)
    keys = read_keys(make_config(api_key_file=other), environment)
    assert keys["api-key"] == "k" * SHORTEST_KEY


@pytest.mark.parametrize("bad", ["", "None", "short", f"-{SECRET}"])
def test_a_bad_key_in_the_environment_is_refused_and_not_echoed(bad: str) -> None:
    with pytest.raises(InvalidValueError, match=API_KEY_VARIABLE) as caught:
        read_keys(make_config(), {API_KEY_VARIABLE: bad})
    assert not bad or bad not in caught.value.problem


def test_a_credential_of_systemd_may_have_the_mode_that_it_has(tmp_path: Path) -> None:
    config = make_config(api_key_file=key_file(tmp_path, SECRET, 0o440))
    with pytest.raises(InvalidValueError, match="0440"):
        read_keys(config, {"CREDENTIALS_DIRECTORY": "/run/credentials/other"})
    keys = read_keys(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert keys["api-key"] == SECRET


def test_there_always_is_an_admin_key_and_a_file_may_hold_it(tmp_path: Path) -> None:
    assert set(read_keys(make_config(), {})) == {"admin-api-key"}
    assert len(read_keys(make_config(), {})["admin-api-key"]) == 64
    config = make_config(admin_key_file=key_file(tmp_path, SECRET))
    assert read_keys(config, {}) == {"admin-api-key": SECRET}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])  # noqa: S104
def test_another_address_than_loopback_needs_a_key(host: str) -> None:
    with pytest.raises(InvalidValueError, match=f"host {host}"):
        read_keys(make_config(host=host), {})
    assert "api-key" in read_keys(make_config(host=host), {API_KEY_VARIABLE: SECRET})
    assert "api-key" not in read_keys(make_config(host=host, insecure=True), {})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    assert "api-key" not in read_keys(make_config(host=host), {})


def test_one_key_for_both_is_refused_unseen(tmp_path: Path) -> None:
    file = key_file(tmp_path, SECRET)
    with pytest.raises(InvalidValueError, match="are the same one") as caught:
        read_keys(make_config(api_key_file=file, admin_key_file=file), {})
    assert SECRET not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's file needs root")
def test_a_key_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = key_file(tmp_path, SECRET)
    os.chown(file, 65_534, 65_534)
    with pytest.raises(InvalidValueError, match="belongs to user 65534"):
        read(file)
