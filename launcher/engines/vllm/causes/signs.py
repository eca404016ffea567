"""What lines of vLLM's output say of its life, and what it does in which of its files.

Source: vllm 0.32.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from launcher.engines.causes import OutputSigns

# Names as in the tree below vllm; a frame is written "path:function".
_STAGES: Final = (
    (r"engine/arg_utils\.py:|vllm/config/|argparse_utils", "checked its arguments"),
    (r"transformers/.*config|transformers_utils/config", "read the model's configuration"),
    (r"tokenizer|/renderers/", "loaded the tokenizer"),
    (r"cudagraph|:capture_model|graph_capture", "captured CUDA graphs"),
    (r":process_weights_after_loading|:create_weights", "prepared quantized weights"),
    (r"custom_all_reduce|pynccl|parallel_state|/distributed/", "joined the GPUs"),
    (r":(?:load_weights?|load_model|weight_loader)$|/model_loader/", "loaded weights"),
    (r"kv_cache_utils|kv_cache_interface|:initialize_kv_cache", "allocated the KV cache"),
    (r"/spec_decode/", "drafted tokens"),
    (r"/attention/|flashinfer/|flash_attn", "computed attention"),
    (r"deep_gemm|fused_moe|/quantization/", "multiplied quantized matrices"),
    (r"triton/|/compilation/|cpp_extension|torch/_inductor", "compiled kernels"),
    (r":profile_run|:_dummy_run|:determine_available_memory|warmup", "measured its memory"),
    (r"/models/.*:forward|:forward|:execute_model", "computed a batch"),
    (r"/structured_output/|xgrammar|outlines|guidance", "compiled a grammar"),
    (r"/multimodal/", "prepared an image, a sound or a video"),
    (r"/kv_transfer/|mooncake|nixl", "moved KV caches between servers"),
    (r"/lora/", "loaded a LoRA adapter"),
    (r"/v1/engine/|/v1/executor/|/entrypoints/", "ran its own loop"),
)

SIGNS: Final = OutputSigns(
    # v1/engine/core.py, v1/executor/multiproc_executor.py
    deadly=re.compile(
        r"EngineCore (?:failed to start|encountered a fatal error|hit an exception)"
        r"|WorkerProc (?:failed to start|hit an exception)|Worker failed with error"
    ),
    # uvicorn; what watches a server is answered after its core has died, too.
    alive=re.compile(r"\"POST /v1/\S+ HTTP/1\.\d\" 200|Application startup complete"),
    harmless=re.compile(
        r"\b(?:WARNING|INFO|DEBUG)\b|[Ww]arning: (?!CUDA initialization)|^W\d{4} "
        r"|[Ff]all(?:s|ing)? ?back|[Dd]eprecated|non-default args"
        r"|HTTP/1\.\d\" \d{3}"
    ),
    # entrypoints/serve/utils/api_utils.py prints it once a start, before anything else.
    begins=re.compile(r"non-default args: |vLLM (?:API )?server version "),
    arguments=re.compile(r"non-default args: "),
    # v1/engine/core_client.py, v1/engine/exceptions.py
    ends=re.compile(
        r"Engine core initialization failed|EngineDeadError|Engine core proc .* died unexpectedly"
        r"|EngineCore failed to start|Worker proc \S+ died unexpectedly"
    ),
    # entrypoints/launchers/launcher.py, at SIGTERM and SIGINT. What uvicorn says, "Shutting down",
    # stands behind a lost core as well.
    asked=re.compile(r"\[shutdown\] API server: shutdown triggered"),
    stages=tuple((re.compile(pattern), stage) for pattern, stage in _STAGES),
)

# A process's name and number; level, date and source, as no other engine writes them; a frame.
_OWN_LINE: Final = re.compile(
    r"\((?:APIServer|EngineCore|Worker|VllmWorker)\w*(?: rank=\d+)? pid=\d+\) "
    r"|\b(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d(?::\d\d)? "
    r"\[?[\w./]{1,80}\.py:\d+\]"
    r"|[/\\]vllm[/\\]\w"
)
_OTHERS_LINE: Final = re.compile(r"\bsglang\b", re.IGNORECASE)


def is_output(lines: Sequence[str]) -> bool:
    """Whether lines are vLLM's, by the form of one of them."""
    if any(_OTHERS_LINE.search(line) for line in lines):
        return False
    return any(_OWN_LINE.search(line) for line in lines)
