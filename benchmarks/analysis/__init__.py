"""From records to figures: metrics, intervals, speed-up, equality of outputs. Pure: no I/O.

Imports `benchmarks.plan`, `benchmarks.records` and `benchmarks.results`.
"""
