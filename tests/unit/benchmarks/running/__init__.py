"""Tests of `benchmarks.running`."""
