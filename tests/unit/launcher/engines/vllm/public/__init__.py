"""Failures of vLLM that people reported in public."""
