"""Stands before FlashInfer, whose kernels need a GPU and whose import takes seconds.

SGLang uses it on NVIDIA GPUs alone (srt/utils/common.py, `is_flashinfer_available`), but imports it
where it can (srt/layers/quantization/fp4_utils.py).
"""

raise ImportError("FlashInfer is for GPUs: this server has none")
