"""Tests of vLLM's plan."""
