"""Tests of `benchmarks.selfcheck`."""
