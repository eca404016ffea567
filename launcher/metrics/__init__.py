"""What a server's metrics say: samples, figures, and whether its speculation pays. Pure.

    samples.py    metrics as Prometheus has them, parsed
    table.py      what an engine calls each quantity: one table for each engine
    buckets.py    histograms, their differences and quantiles
    window.py     readings of the last minute, and the figures that they come to
    history.py    the course of a few of them since the first look
    figures.py    those figures
    benchmark.py  what a report of `python -m benchmarks` says of a server
    verdict.py    whether speculation pays here and now, in one sentence

It knows no engine: each brings a table of names, `launcher/engines/NAME/metrics.py`.
"""
