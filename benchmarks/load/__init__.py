"""Sends requests and takes times: closed and open loops over one streaming HTTP connection each.

Imports `benchmarks.records`, `benchmarks.errors`, `benchmarks.workloads` and `clients.http`;
knows nothing of arms, rounds or reports.
"""
