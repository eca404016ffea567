"""Tests of `benchmarks.analysis`."""
