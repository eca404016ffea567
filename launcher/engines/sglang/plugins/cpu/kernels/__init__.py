"""Plain-PyTorch stand-ins for the compiled kernels that SGLang's CPU path asks for.

One module per subject: ``cache`` (where a token's keys and values live), ``tokens``
(token rows after verify), ``tree`` (draft trees), ``attend`` (attention of one request),
``attention`` (of a batch, as SGLang calls it), and ``operators`` (registration of the
latter under ``torch.ops.sgl_kernel``).

Which way imports go: all import torch; ``operators`` imports ``attention``, which imports
``attend``; the others import nothing of ours. Nothing here imports SGLang.
"""
