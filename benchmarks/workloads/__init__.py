"""Prompts: built-in workloads, a user's JSONL, ShareGPT files. Imports `benchmarks.errors` only."""
