"""The gateway before several replicas: SGLang's `smg`. Pure.

Source: `smg launch --help` of 1.13.0. docs/exporting.md says what was tried of it.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.smg.version import VERIFIED_VERSION
from launcher.exporting.request import Export
from launcher.exporting.timing import timing_of

IMAGE: Final = f"lightseekorg/smg:{VERIFIED_VERSION}"
POLICIES: Final = ("round_robin", "cache_aware", "power_of_two", "least_load")
PROGRAM: Final = ("smg", "launch")
READY_PATH: Final = "/readiness"
ALIVE_PATH: Final = "/liveness"
# Beside the drain: until it has seen that nothing is in flight.
STOP_MARGIN_SECONDS: Final = 10


def gateway_arguments(export: Export) -> tuple[str, ...]:
    """What the gateway is given, but for where its workers are and its key."""
    timing = timing_of(export)
    return (
        *("--host", "0.0.0.0"),  # noqa: S104  # its container's own
        *("--port", str(export.config.port), "--policy", export.choices.policy),
        # By default it asks once a minute, and sends requests to a dead worker until then.
        *("--health-check-endpoint", export.engine.probes.generates),
        *("--health-check-interval-secs", str(timing.period)),
        *("--health-check-timeout-secs", str(timing.timeout)),
        *("--health-failure-threshold", str(timing.failures)),
        *("--cb-failure-threshold", "3", "--cb-timeout-duration-secs", "5"),
        # One that did not answer at first is asked again after half a minute by default.
        *("--worker-startup-check-interval", "2"),
        *("--worker-startup-timeout-secs", str(export.start_seconds)),
        *("--shutdown-grace-period-secs", str(timing.drain)),
        # The workers count tokens; this one would ask the hub for a tokenizer.
        "--disable-tokenizer-autoload",
    )
