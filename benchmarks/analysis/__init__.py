"""From records to figures: metrics, intervals, speed-up, equality of outputs. Pure: no I/O.

Imports `benchmarks.records` and `benchmarks.results`.
"""
