"""Other people's clients, unchanged, on the real server with speculation: tests/third_party."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.third_party.catalogue import CLIENTS, Client, fault
from tests.third_party.environment import Environment, prepare
from tests.third_party.outcomes import AT_A_TIME, Outcome, recorded, try_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from launcher.state.record import RunRecord

Outcomes = dict[str, "Future[dict[str, Outcome]]"]


@pytest.fixture(scope="module")
def environment() -> Environment:
    return prepare()


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, eagle: RunRecord, environment: Environment
) -> Iterator[Outcomes]:
    """Client -> its run, which has begun for each client that a test asks for."""
    here = [item for item in request.session.items if item.path == request.path]
    wanted = {client.name for client in CLIENTS if any(f"[{client.name}-" in i.name for i in here)}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            client.name: pool.submit(try_client, client, eagle.base_url, environment)
            for client in CLIENTS
            if client.name in wanted
        }


def cases() -> Iterator[object]:
    for client in CLIENTS:
        for feature in client.features:
            known = fault(client, feature)
            marks = [pytest.mark.xfail(strict=True, reason=known.reason)] if known else []
            yield pytest.param(client, feature, id=f"{client.name}-{feature}", marks=marks)


@pytest.mark.parametrize(("client", "feature"), list(cases()))
def test_what_a_client_does_is_what_the_table_says(
    outcomes: Outcomes, client: Client, feature: str
) -> None:
    outcome = outcomes[client.name].result()[feature]
    assert outcome.result != "fails", outcome.detail
    # `make third-party` records anew.
    assert outcome.result == recorded()[client.name, feature].result, outcome.detail
