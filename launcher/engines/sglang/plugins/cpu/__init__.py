"""The CPU engine: what lets the real SGLang server run on a machine without a GPU.

``settings`` (environment and arguments, used by the launcher), ``plugin`` (called by
SGLang in every server process), ``kernels`` (plain-PyTorch kernels) and ``shim`` (the
folder that makes them importable as ``sgl_kernel``).

Which way imports go: ``settings`` imports nothing of ours, and is all that the launcher imports
from here. ``plugin`` imports ``settings`` and ``launcher.engines.sglang.plugins.hooks``, and SGLang
and torch only in a server process that it is switched on for. ``shim`` imports ``kernels``, which
import torch and not SGLang. Nothing else here imports the rest of the launcher. See README.md.
"""
