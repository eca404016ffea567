"""The CPU engine's kernels against brute force, its settings and its plugin.

Imports launcher.engines.sglang.plugins.cpu and torch, and never SGLang.
"""
