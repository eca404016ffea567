"""Causes that lie with the GPUs: memory, drivers, kernels, faults, the links between them."""
