"""The part of ``sgl_kernel.speculative`` that n-gram speculation imports on a CPU."""

from launcher.engines.sglang.plugins.cpu.kernels.tree import reconstruct_indices_from_tree_mask

__all__ = ["reconstruct_indices_from_tree_mask"]
