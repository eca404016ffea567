"""Tests of `benchmarks.cli`."""
