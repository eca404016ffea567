"""What lines of SGLang's output say of its life, and what it does in which of its files."""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import OutputSigns

# Names as in the tree below sglang/srt; a frame is written "path:function". The first that fits
# the innermost frame of a traceback counts, so the special ones stand before the general ones.
_STAGES: Final = (
    (r"(?:/|^)server_args\.py:|/arg_groups/|launch_server\.py:", "checked its arguments"),
    (r"sglang/srt/(?:configs|parser)/|transformers/.*config", "read the model's configuration"),
    (r"tokenization|/tokenizer|hf_transformers", "loaded the tokenizer"),
    (r"graph_runner\.py:|graph_backend|piecewise_cuda_graph", "captured CUDA graphs"),
    (r":process_weights_after_loading|:create_weights", "prepared quantized weights"),
    (r"custom_all_reduce|pynccl|parallel_state|/distributed/|deep_ep|deepep", "joined the GPUs"),
    (r":(?:load_weights?|load_model|weight_loader)$|/model_loader/", "loaded weights"),
    (r"/mem_cache/.*(?:pool|configurator)|pool_configurator", "allocated the KV cache"),
    (r"invariant_checker|scheduler_runtime_checker", "checked its own books"),
    (r"/speculative/", "drafted tokens"),
    (r"/layers/attention/|flashinfer/|flash_attn", "computed attention"),
    (r"deep_gemm|/layers/moe/|/layers/quantization/", "multiplied quantized matrices"),
    (r"triton/|/jit/|cpp_extension|tvm_ffi|torch/_inductor", "compiled kernels"),
    (r"_execute_server_warmup|:_wait_and_warmup|warmup", "warmed up"),
    (r"/models/.*:forward|:forward|:run_batch", "computed a batch"),
    (r"/constrained/|xgrammar|outlines|llguidance", "compiled a grammar"),
    (r"/multimodal/", "prepared an image, a sound or a video"),
    (r"/disaggregation/|mooncake|nixl", "moved KV caches between servers"),
    (r"/lora/", "loaded a LoRA adapter"),
    (r"/managers/|/entrypoints/", "ran its own loop"),
)

SIGNS: Final = OutputSigns(
    # managers/*.py, entrypoints/http_server.py
    deadly=re.compile(r"hit an exception|Initialization failed|Fatal|Uncaught"),
    # observability/scheduler_metrics_mixin.py, entrypoints/http_server.py, uvicorn
    alive=re.compile(
        r"\b(?:Prefill|Decode) batch\b|HTTP/1\.\d\" 200|The server is fired up"
        r"|Application startup complete"
    ),
    harmless=re.compile(
        r"\b(?:WARNING|INFO|DEBUG)\b|[Ww]arning: (?!CUDA initialization)|^W\d{4} "
        r"|[Ii]gnor(?:e|ing) import error"
        r"|[Ff]all(?:s|ing)? ?back|[Dd]eprecated|server_args="
        r"|\b(?:Prefill|Decode) batch\b|HTTP/1\.\d\" \d{3}"
    ),
    # launch_server.py and entrypoints/engine.py print these once a start, before anything else.
    begins=re.compile(
        r"\bserver_args=|launch_server' is still supported|^=+ ?== (?:CUDA|PyTorch) ==$"
        r"|^== (?:CUDA|PyTorch) ==$"
    ),
    arguments=re.compile(r"server_args="),
    gone=re.compile(r"include_parent=True"),
    # entrypoints/engine.py, managers/tokenizer_manager.py and utils/common.py
    ends=re.compile(
        r"include_parent=True|Received sigquit|SIGQUIT received|hit an exception"
        r"|Initialization failed"
    ),
    # managers/tokenizer_manager.py, uvicorn
    asked=re.compile(r"(?<!Signal )SIGTERM received\. |Gracefully exiting|^INFO: +Shutting down"),
    unhealthy=re.compile(r"SIGTERM received while health check failed"),
    # model_executor/: four proposals behind any failure of a capture.
    boilerplate=re.compile(r"\s*Possible solutions:"),
    stages=tuple((re.compile(pattern), stage) for pattern, stage in _STAGES),
)
