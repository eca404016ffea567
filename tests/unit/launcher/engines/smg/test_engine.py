"""The gateway as an engine: its command, what it is asked, why it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from launcher.config.gateway_config import GatewayConfig
from launcher.engines.causes import LogCause, ServerEnd
from launcher.engines.launch import CommandTarget, Launch
from launcher.engines.phases import Phase
from launcher.engines.select import engine_of
from launcher.engines.sglang.engine import SGLANG
from launcher.engines.smg.causes import CAUSES
from launcher.engines.smg.engine import SMG
from launcher.engines.smg.prober import GatewayProber, KnownServer
from launcher.errors import ConfigError, SecretInArgumentsError
from tests.unit.launcher.examples import SECRET, make_config


def gateway(**fields: Any) -> GatewayConfig:
    known: dict[str, Any] = {
        "name": "fleet-gateway",
        "model_path": "tiny",
        "served_model_name": "tiny",
        "device": "cpu",
        "metrics_port": 8100,
        "discovery_file": Path("/state/discovery.json"),
    }
    return GatewayConfig.model_validate(known | fields)


def test_a_gateway_is_served_by_smg_and_a_model_by_sglang() -> None:
    assert engine_of(gateway()) is SMG
    assert engine_of(make_config()) is SGLANG


def test_its_command_names_ports_and_the_file_and_no_key() -> None:
    target = CommandTarget("python", (0,), secrets_file=Path("/state/secrets.yaml"))
    config = gateway(extra_args=("--queue-size", "9"), policy="round_robin")
    command = SMG.make_command(config, target)
    arguments = command.server_arguments
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert given["--secrets-file"] == "/state/secrets.yaml"
    assert given["--discovery-file"] == "/state/discovery.json"
    assert (given["--port"], given["--prometheus-port"]) == ("8000", "8100")
    assert (given["--host"], given["--prometheus-host"]) == ("127.0.0.1", "127.0.0.1")
    assert given["--policy"] == "round_robin"
    assert given["--queue-size"] == "9"
    assert "--api-key" not in given
    # What setproctitle would write over is what proves a process ours.
    assert command.environment["SPT_NOENV"] == "1"


def test_a_user_may_ask_for_slower_detection() -> None:
    command = SMG.make_command(
        gateway(extra_args=("--cb-failure-threshold", "9")), CommandTarget("python", (0,))
    )
    assert command.argv[-2:] == ("--cb-failure-threshold", "9")


@pytest.mark.parametrize("word", ["--api-key", "--api-ke", "--port=1", "--hos", "--worker-urls",
                                  "--discovery-f"])  # fmt: skip
def test_what_the_launcher_sets_is_refused_in_the_arguments(word: str) -> None:
    config = gateway(extra_args=(word, SECRET))
    command = SMG.make_command(config, CommandTarget("python", (0,)))
    with pytest.raises(ConfigError) as caught:
        SMG.check_command(command, config, SMG.verified_version)
    assert word.partition("=")[0] in caught.value.problem
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("word", ["--oracle-password", "--redis-u", "--postgres-db-url=x"])
def test_what_only_holds_a_secret_is_refused_without_its_value(word: str) -> None:
    config = gateway(extra_args=(word, SECRET))
    with pytest.raises(SecretInArgumentsError) as caught:
        SMG.check_command(SMG.make_command(config, CommandTarget("python", (0,))), config, "1")
    assert SECRET not in str(caught.value)


def test_a_launch_of_one_crosses_to_a_supervisor() -> None:
    config = gateway()
    command = SMG.make_command(config, CommandTarget("python", (0,)))
    launch = Launch(config, command, {"admin-api-key": SECRET}, {}, detached=True)
    assert Launch.from_json(launch.to_json()).config == config


class Answering(BaseHTTPRequestHandler):
    """Answers as a gateway with one server."""

    seen: ClassVar[list[tuple[str, str | None]]] = []
    answers: ClassVar[dict[str, tuple[int, str]]] = {}

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        status, text = self.answers.get(self.path, (404, ""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Answering.seen.clear()
    Answering.answers = {
        "/liveness": (200, "OK"),
        "/readiness": (503, '{"status":"not ready"}'),
        "/workers": (
            200,
            json.dumps({"workers": [{"url": "http://a:1", "status": "ready", "load": 3}]}),
        ),
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_gateway_without_servers_is_well_and_routes_nothing(url: str) -> None:
    prober = GatewayProber(url)
    assert prober.is_up()
    assert prober.generate(8, timeout_seconds=5)
    assert not prober.routes()
    assert prober.last_refusal == 'status 503: {"status":"not ready"}'


def test_it_tells_of_its_servers_to_whoever_has_the_admin_key(url: str) -> None:
    assert GatewayProber(url, SECRET).servers() == (KnownServer("http://a:1", "ready", 3),)
    assert ("/workers", f"Bearer {SECRET}") in Answering.seen


@pytest.mark.parametrize("answer", [(401, "{}"), (200, "[]"), (200, "{"), (200, '{"workers":[1]}')])
def test_another_answer_is_no_list_of_servers(url: str, answer: tuple[int, str]) -> None:
    Answering.answers["/workers"] = answer
    with pytest.raises(OSError):  # noqa: PT011 - any
        GatewayProber(url).servers()


def test_nobody_there_is_no_gateway() -> None:
    prober = GatewayProber("http://127.0.0.1:9")
    assert not prober.generate(1, timeout_seconds=1)
    assert "refused" in str(prober.last_refusal)


@pytest.mark.parametrize("name", CAUSES.errors)
def test_each_cause_is_found_in_its_own_sample(name: str) -> None:
    cause = CAUSES.errors[name]
    assert isinstance(cause, LogCause)
    end = ServerEnd(1, Phase.WARM_UP, False, (cause.sample,), 0, gateway())  # noqa: FBT003
    found = next(
        hit for key, one in CAUSES.errors.items() if (hit := one.find_in(key, end, 0)) is not None
    )
    assert found.name == name
    assert found.summary
    assert found.action
