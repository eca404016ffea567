"""Plain-PyTorch stand-ins for the compiled kernels that SGLang's CPU path asks for.

One module per subject; `operators` registers those that SGLang calls as `torch.ops.sgl_kernel`.
All import torch, none SGLang.
"""
