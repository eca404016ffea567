"""Causes that are no engine's own: CUDA, NCCL, libraries, compilers, folders, the hub, the host.

Each engine's table takes of them what it can meet.
"""
