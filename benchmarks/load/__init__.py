"""Sends requests and takes times: closed and open loops over one streaming HTTP connection each.

Imports `benchmarks.records` and `benchmarks.workloads`; knows nothing of arms, rounds or reports.
"""
