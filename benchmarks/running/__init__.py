"""Carries a plan out: servers through the launcher, cells in their order, a folder of results.

Imports `benchmarks.load`, `benchmarks.peers`, the formulas of `benchmarks.analysis`, `launcher` and
`clients`.
"""
