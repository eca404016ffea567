"""The recorded run of other people's clients is one of the clients and versions that stand here."""

from __future__ import annotations

import json
import re
from importlib.metadata import version

import pytest

from tests.third_party.catalogue import CLIENTS, Client, fault
from tests.third_party.environment import FOLDER
from tests.third_party.outcomes import recorded


def locked_version(client: Client) -> str:
    if client.runs_in == "project":
        return version(client.package)
    if client.runs_in == "node":
        lock = json.loads((FOLDER / "node" / "package-lock.json").read_text())
        return str(lock["packages"][f"node_modules/{client.package}"]["version"])
    lines = (FOLDER / "python" / "requirements.lock").read_text()
    found = re.search(rf"^{client.package}==(\S+)", lines, re.MULTILINE)
    assert found is not None, client.package
    return found[1]


def test_every_feature_of_every_client_is_recorded() -> None:
    assert list(recorded()) == [
        (client.name, feature) for client in CLIENTS for feature in client.features
    ]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_the_record_is_of_the_locked_version(client: Client) -> None:
    versions = {row.version for row in recorded().values() if row.client == client.name}
    assert versions == {locked_version(client)}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_what_failed_is_a_known_fault_of_the_server(client: Client) -> None:
    failed = {row.feature for (name, _), row in recorded().items()
              if name == client.name and row.result == "fails"}  # fmt: skip
    assert failed == {feature for feature in client.features if fault(client, feature)}


@pytest.mark.parametrize("file", ["python/requirements.lock", "node/package-lock.json"])
def test_a_lock_names_hashes_and_no_registry(file: str) -> None:
    text = (FOLDER / file).read_text()
    assert "sha256:" in text or "sha512-" in text
    assert "index-url" not in text
    assert '"resolved"' not in text


def test_packages_of_node_are_exact() -> None:
    package = json.loads((FOLDER / "node" / "package.json").read_text())
    assert all(re.fullmatch(r"[\d.]+", wanted) for wanted in package["dependencies"].values())
