"""The command of a gateway. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import MappingProxyType
from typing import Final

from launcher.config.gateway_config import GatewayConfig
from launcher.engines.launch import Command, CommandTarget
from launcher.errors import ConfigError, SecretInArgumentsError

MODULE: Final = "launcher.engines.smg.start"
SECRETS_FLAG: Final = "--secrets-file"

# smg's own defaults look once a minute, and show a server that died as ready until then. With
# these a server that answers no more is left out within six seconds, and is back as soon.
_DETECTION: Final = {
    "--health-check-interval-secs": "2",
    "--health-check-timeout-secs": "2",
    "--health-failure-threshold": "2",
    "--health-success-threshold": "1",
    "--cb-failure-threshold": "3",
    "--cb-timeout-duration-secs": "5",
    "--cb-success-threshold": "1",
    # A server that did not answer when it was first met, which is asked again after half a minute.
    "--worker-startup-check-interval": "1",
    # A change of the file is seen at once; this is for one that the system did not tell of.
    "--discovery-check-interval-secs": "2",
}
# What the launcher sets; of anything else the last one counts, and that is the user's.
_OWN: Final = frozenset(
    {
        *("--host", "--port", "--policy", "--prometheus-host", "--prometheus-port"),
        *("--discovery-provider", "--discovery-file", "--worker-urls", "--service-discovery"),
        *("--api-key", "--control-plane-api-keys", "--tenant-api-key"),
    }
)
# smg reads these from its environment as well, where no list of processes shows them.
_SECRET: Final = frozenset({"--oracle-password", "--postgres-db-url", "--redis-url"})


def build_command(config: GatewayConfig, target: CommandTarget) -> Command:
    """Turn a configuration into the command of a gateway; never a key in it.

    Args:
        config: of the gateway.
        target: whose interpreter has smg installed, and where the keys will be.
    """
    arguments = [target.python, "-m", MODULE]
    if target.secrets_file is not None:
        arguments += [SECRETS_FLAG, str(target.secrets_file)]
    given = {
        "--host": config.host,
        "--port": str(config.port),
        "--policy": config.policy,
        "--discovery-provider": "file",
        "--discovery-file": str(config.discovery_file),
        # It wants no key, and names each server by its address.
        "--prometheus-host": "127.0.0.1",
        "--prometheus-port": str(config.metrics_port),
        # At "info" it writes two lines for each request.
        "--log-level": "warn",
        # As long as the launcher lets requests end: then it is killed.
        "--shutdown-grace-period-secs": str(max(1, round(config.drain_timeout_seconds))),
        **_DETECTION,
    }
    for flag, value in given.items():
        arguments += [flag, value]
    environment = {
        **config.variables,
        # It names itself by setproctitle, which would write over what proves it ours.
        "SPT_NOENV": "1",
        "NO_COLOR": "1",
    }
    return Command((*arguments, *config.extra_args), MappingProxyType(environment))


def check_arguments(config: GatewayConfig) -> None:
    """Refuse arguments of the user's that repeat what the launcher sets, or hold a secret.

    smg's parser takes the beginning of a name for the name, so that counts as well.

    Raises:
        ConfigError: they repeat something.
        SecretInArgumentsError: every user of the machine could read it.
    """
    words = (argument.partition("=")[0] for argument in config.extra_args)
    flags = [word for word in words if word.startswith("--") and word != "--"]
    if secret := _meant(flags, _SECRET):
        raise SecretInArgumentsError(
            f"The gateway's arguments hold {', '.join(secret)}, and its value would stand in the "
            "list of processes.",
            action="`smg launch --help` names the variable of each; export that before `fleet up`.",
        )
    if repeated := _meant(flags, _OWN):
        raise ConfigError(
            f"The gateway's arguments hold {', '.join(repeated)}, which the launcher sets.",
            action="Say it by the fields of the fleet file: host, port, policy, api_key_file.",
        )


def _meant(flags: Iterable[str], names: Collection[str]) -> list[str]:
    """The flags that are, or begin, one of these names."""
    return [flag for flag in flags if any(name.startswith(flag) for name in names)]
