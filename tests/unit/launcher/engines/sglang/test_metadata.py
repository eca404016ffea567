"""An answer's metadata is strings by strings."""

from __future__ import annotations

import json

from launcher.engines.sglang.plugins.metadata import only_strings


def test_values_that_are_no_strings_become_json() -> None:
    spans = [{"version": "default", "start": 0, "end": 16}]
    metadata = only_strings({"weight_version": "default", "weight_versions": spans})
    assert metadata["weight_version"] == "default"
    assert json.loads(metadata["weight_versions"]) == spans


def test_strings_stay() -> None:
    assert only_strings({"weight_version": "1"}) == {"weight_version": "1"}
