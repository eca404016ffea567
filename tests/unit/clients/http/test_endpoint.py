"""Finding the server: argument, then environment, then run record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clients import ConfigurationError, RunRecord, RunRecordError
from clients.http.endpoint import Endpoint, find_admin_key, resolve_endpoint

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"SPECSERVE_BASE_URL": "http://env:1", "SPECSERVE_API_KEY": "env-key"}


def record(api_key_file: Path | None = None, base_url: str = "http://127.0.0.1:8000") -> RunRecord:
    return RunRecord(
        schema_version=1,
        name="default",
        run_id="r",
        state="READY",
        base_url=base_url,
        served_model_name="nano",
        api_key_file=api_key_file,
    )


def resolve(
    base_url: str | None = None,
    api_key: str | None = None,
    *,
    environ: dict[str, str] | None = None,
    found: RunRecord | None = None,
) -> Endpoint:
    def find_server(name: str) -> RunRecord:
        assert name == "here"
        assert found is not None, "the run record must not be read"
        return found

    return resolve_endpoint(
        base_url, api_key, server="here", environ=environ or {}, find_server=find_server
    )


def test_arguments_win() -> None:
    endpoint = resolve("http://arg:2", "arg-key", environ=ENVIRON)
    assert endpoint == Endpoint("http://arg:2", "arg-key", None)


def test_environment_comes_next() -> None:
    assert resolve(environ=ENVIRON) == Endpoint("http://env:1", "env-key", None)


def test_run_record_comes_last_and_knows_the_model(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("file-key\n")
    endpoint = resolve(
        environ={"SPECSERVE_BASE_URL": "", "SPECSERVE_API_KEY": ""}, found=record(key_file)
    )
    assert endpoint == Endpoint("http://127.0.0.1:8000", "file-key", "nano")


def test_server_without_a_key_needs_none() -> None:
    assert resolve(found=record()).api_key is None


def test_given_key_wins_over_the_record_and_its_file_is_not_read(tmp_path: Path) -> None:
    assert resolve(api_key="mine", found=record(tmp_path / "none")).api_key == "mine"


def test_the_key_that_the_launcher_was_given_is_for_its_own_servers_alone(tmp_path: Path) -> None:
    environ = {"LAUNCHER_API_KEY": "launchers"}
    assert resolve(environ=environ, found=record()).api_key == "launchers"
    assert resolve("http://elsewhere:3", environ=environ).api_key is None
    key_file = tmp_path / "key"
    key_file.write_text("file-key")
    assert resolve(environ=environ, found=record(key_file)).api_key == "file-key"


def test_key_of_a_record_stays_with_its_url() -> None:
    # `found=None` makes the run record unreadable: its key cannot go to another server.
    assert resolve("http://elsewhere:3").api_key is None


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_key_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    key_file = tmp_path / "key"
    if content is not None:
        key_file.write_bytes(content)
    with pytest.raises(RunRecordError, match="Cannot read the API key") as caught:
        resolve(found=record(key_file))
    assert str(key_file) in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://h:8000",
        "http://h:8000/",
        "http://h:8000/v1",
        " http://h:8000/v1/ ",
        "http://h:8000/v1/chat/completions",
    ],
)
def test_v1_and_slashes_do_no_harm(url: str) -> None:
    assert resolve(url).base_url == "http://h:8000"


def test_path_of_a_gateway_is_kept() -> None:
    assert resolve("https://h/llm/v1").base_url == "https://h/llm"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", "http://", "h", "http://h:port"])
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="Not a"):
        resolve(url)


def test_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="Use api_key") as caught:
        resolve("http://me:hunter2@h:8000")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "clé", "a\nb"])
def test_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError, match="header") as caught:
        resolve("http://h", key)
    assert key not in str(caught.value)


def test_key_is_not_shown() -> None:
    assert "secret" not in repr(resolve("http://h", "secret"))


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost", True),
        ("http://[::1]:8000", True),
        ("http://h", False),
    ],
)
def test_loopback(url: str, loopback: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert resolve(url).is_loopback is loopback


def admin_key(
    endpoint: Endpoint, given: str | None = None, environ: dict[str, str] | None = None
) -> str | None:
    return find_admin_key(endpoint, given, environ=environ or {})


def test_the_admin_key_is_found_by_whoever_can_read_its_file(tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text("admin\n")
    endpoint = resolve(found=record().model_copy(update={"admin_key_file": file}))
    assert admin_key(endpoint) == "admin"
    assert admin_key(endpoint, environ={"SPECSERVE_ADMIN_KEY": "env"}) == "env"
    assert admin_key(endpoint, "mine", {"SPECSERVE_ADMIN_KEY": "env"}) == "mine"
    file.write_text("another")
    assert admin_key(endpoint) == "another", "the next start of the server has another"
    file.unlink()
    with pytest.raises(RunRecordError, match="Cannot read the admin key"):
        admin_key(endpoint)


def test_a_server_elsewhere_may_have_no_admin_key() -> None:
    assert admin_key(resolve("http://elsewhere:3", "mine")) == "mine"
    assert admin_key(resolve("http://elsewhere:3")) is None
