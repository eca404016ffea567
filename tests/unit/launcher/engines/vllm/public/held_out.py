"""Failures that people reported, in abridged form: those that were kept until it was done."""

from __future__ import annotations

from tests.unit.launcher.engines.vllm.public.case import Case

CASES = (
    Case(
        report='vllm-project/llm-compressor#959',
        cause='unknown-weight',
        lines=(
            'ERROR 12-05 20:24:46 engine.py:366] Traceback (most recent call last):',
            'ERROR 12-05 20:24:46 engine.py:366]   File "/env/site-packages/vllm/model_executor/models/qwen2.py", line 371, in load_weights',
            'ERROR 12-05 20:24:46 engine.py:366]     param = params_dict[name]',
            "ERROR 12-05 20:24:46 engine.py:366] KeyError: 'layers.0.mlp.down_proj.weight_scale'",
            'INFO 12-05 20:24:46 multiproc_worker_utils.py:120] Killing local vLLM worker processes',
        ),
    ),
    Case(
        report='vllm-project/vllm#1157',
        cause='dtype-needs-newer-gpu',
        lines=(
            'Traceback (most recent call last):',
            '  File "/env/site-packages/vllm/worker/worker.py", line 60, in init_model',
            'ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute capability 7.5.',
        ),
    ),
    Case(
        report='vllm-project/vllm#52435',
        cause='tensor-parallel-size',
        lines=(
            '(APIServer pid=415) pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig',
            "(APIServer pid=415)   Value error, Total number of attention heads (64) must be divisible by tensor parallel size (3). [type=value_error, input_value=ArgsKwargs((), {'model_config': ...}), input_type=ArgsKwargs]",
        ),
        config={'tp_size': 3, 'ep_size': 3},
    ),
    Case(
        report='vllm-project/vllm#21226',
        cause='torch-mismatch',
        lines=(
            'INFO 07-19 13:20:10 [__init__.py:239] Automatically detected platform cuda.',
            'Traceback (most recent call last):',
            '  File "/workspace/vllm/vllm/distributed/__init__.py", line 3, in <module>',
            '    from .communication_op import *',
            'ImportError: /workspace/vllm/vllm/_C.abi3.so: undefined symbol: _ZN3c106ivalue14ConstantString6createENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE',
        ),
    ),
    Case(
        report='vllm-project/recipes#51',
        cause='parser-unknown',
        lines=(
            '(APIServer pid=966592) Traceback (most recent call last):',
            '(APIServer pid=966592)   File "/env/site-packages/vllm/entrypoints/openai/cli_args.py", line 280, in validate_api_server_args',
            '(APIServer pid=966592)     raise KeyError(f"invalid tool call parser: {args.tool_call_parser} "',
            "(APIServer pid=966592) KeyError: 'invalid tool call parser: openai (chose from { deepseek_v3, glm45, granite-20b-fc, granite, hermes })'",
        ),
        config={'tool_call_parser': 'openai'},
    ),
    Case(
        report='vllm-project/vllm#19656',
        cause='header-missing',
        lines=(
            '(EngineCore_DP0 pid=372) ERROR 03-09 01:15:14 [core.py:1006] EngineCore failed to start.',
            '(EngineCore_DP0 pid=372) ERROR 03-09 01:15:14 [core.py:1006] Traceback (most recent call last):',
            '(EngineCore_DP0 pid=372) ERROR 03-09 01:15:14 [core.py:1006]   File "/env/site-packages/torch/_inductor/cpp_builder.py", line 480, in run_compile_cmd',
            '(EngineCore_DP0 pid=372) ERROR 03-09 01:15:14 [core.py:1006] torch._inductor.exc.InductorError: CppCompileError: C++ compile error',
            '(EngineCore_DP0 pid=372) ERROR 03-09 01:15:14 [core.py:1006] /usr/include/python3.12/pyport.h:10:10: fatal error: stddef.h: No such file or directory',
        ),
    ),
    Case(
        report='vllm-project/vllm#34076',
        cause='kv-cache-too-small',
        lines=(
            "(EngineCore_DP0 pid=1094) ValueError: To serve at least one request with the models's max seq len (262144), (24.0 GiB KV cache is needed, which is larger than the available KV cache memory (3.18 GiB). Based on the available memory, the estimated maximum model length is 34736. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine. See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.",
        ),
        config={'pp_size': 2, 'gpu_memory_utilization': 0.9},
    ),
    Case(
        report='vllm-project/vllm#13475',
        cause='unknown-architecture',
        lines=(
            'Traceback (most recent call last):',
            '  File "/env/site-packages/vllm/model_executor/models/registry.py", line 400, in _raise_for_unsupported',
            "ValueError: Model architectures ['MllamaForConditionalGeneration'] are not supported for now. Supported architectures: ['AquilaModel', 'AquilaForCausalLM', 'BaiChuanForCausalLM']",
        ),
    ),
    Case(
        report='vllm-project/vllm#2997',
        cause='kernel-compiler-missing',
        lines=(
            'Traceback (most recent call last):',
            '  File "/usr/local/lib/python3.10/dist-packages/vllm/worker/model_runner.py", line 574, in execute_model',
            '    hidden_states = model_executable(',
            'RuntimeError: Failed to find C compiler. Please specify via CC environment variable.',
        ),
    ),
    Case(
        report='vllm-project/vllm#40756',
        cause='worker-lost',
        lines=(
            '(APIServer pid=1) INFO 05-13 10:46:43 [loggers.py:271] Engine 000: Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 141.8 tokens/s, Running: 5 reqs, Waiting: 0 reqs, GPU KV cache usage: 21.4%, Prefix cache hit rate: 0.0%',
            '(EngineCore pid=196) ERROR 05-13 10:46:43 [multiproc_executor.py:283] Worker proc VllmWorker-0 died unexpectedly, shutting down executor.',
            "(EngineCore pid=196) ERROR 05-13 10:46:44 [dump_input.py:72] Dumping input data for V1 LLM engine (v0.20.2) with config: model='/model/Qwen3.6-27B', speculative_config=SpeculativeConfig(method='mtp', model='/model/Qwen3.6-27B', num_spec_tokens=5)",
        ),
        served=True,
        config={'tp_size': 4},
    ),
    Case(
        report='vllm-project/vllm#33358',
        cause='gpu-memory-changed',
        lines=(
            '(EngineCore_DP0 pid=418) ERROR 01-29 15:38:21 [core.py:946] EngineCore failed to start.',
            '(EngineCore_DP0 pid=418) ERROR 01-29 15:38:21 [core.py:946] Traceback (most recent call last):',
            '(EngineCore_DP0 pid=418) ERROR 01-29 15:38:21 [core.py:946]   File "/env/site-packages/vllm/v1/worker/gpu_worker.py", line 333, in determine_available_memory',
            '(EngineCore_DP0 pid=418) ERROR 01-29 15:38:21 [core.py:946]     assert self.init_snapshot.free_memory > free_gpu_memory, (',
            '(EngineCore_DP0 pid=418) ERROR 01-29 15:38:21 [core.py:946] AssertionError: Error in memory profiling. Initial free memory 30.3 GiB, current free memory 30.3 GiB. This happens when other processes sharing the same container release GPU memory while vLLM is profiling during initialization. To fix this, ensure consistent GPU memory allocation or isolate vLLM in its own container.',
            '(APIServer pid=1) Traceback (most recent call last):',
            '(APIServer pid=1)   File "/env/site-packages/vllm/v1/engine/utils.py", line 785, in wait_for_engine_startup',
            '(APIServer pid=1)     raise RuntimeError(',
            "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': 1}",
        ),
    ),
    Case(
        report='SergiioB/intel-arc-pro-b70-inference-cookbook#4',
        cause='kv-cache-too-small',
        lines=(
            '(EngineCore pid=316) Traceback (most recent call last):',
            '(EngineCore pid=316)   File "/opt/venv/lib/python3.12/site-packages/vllm/v1/core/kv_cache_utils.py", line 758, in _check_enough_kv_cache_memory',
            '(EngineCore pid=316)     raise ValueError(',
            "(EngineCore pid=316) ValueError: To serve at least one request with the model's max seq len (100000), (4.26 GiB KV cache is needed, which is larger than the available KV cache memory (4.25 GiB). Based on the available memory, the estimated maximum model length is 99712.",
        ),
    ),
    Case(
        report='vllm-project/vllm#14452',
        cause='gpu-memory-warm-up',
        lines=(
            '(VllmWorker rank=7 pid=10948) ERROR 03-16 06:12:38 [multiproc_executor.py:375] RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.',
        ),
        config={'tp_size': 8, 'max_running_requests': 1024},
    ),
    Case(
        report='vllm-project/vllm#20305',
        cause='gpu-memory-taken',
        lines=(
            'ERROR 06-30 13:53:19 [core.py:515] EngineCore failed to start.',
            'ERROR 06-30 13:53:19 [core.py:515] Traceback (most recent call last):',
            'ERROR 06-30 13:53:19 [core.py:515]   File "/env/site-packages/vllm/v1/worker/gpu_worker.py", line 130, in init_device',
            'ERROR 06-30 13:53:19 [core.py:515]     raise ValueError(',
            'ERROR 06-30 13:53:19 [core.py:515] ValueError: Free memory on device (31.44/47.38 GiB) on startup is less than desired GPU memory utilization (0.95, 45.01 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.',
        ),
        config={'gpu_memory_utilization': 0.95},
    ),
    Case(
        report='christopherowen/spark-vllm-mxfp4-docker#5',
        cause='illegal-access',
        lines=(
            '(APIServer pid=1) Traceback (most recent call last):',
            '(APIServer pid=1)   File "/workspace/vllm/vllm/v1/engine/core_client.py", line 899, in get_output_async',
            '(APIServer pid=1)     raise self._format_exception(outputs) from None',
            '(APIServer pid=1) vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.',
            '[rank0]:[W224 19:04:56.322966893 CUDAGuardImpl.h:122] Warning: CUDA warning: an illegal memory access was encountered (function destroyEvent)',
            "terminate called after throwing an instance of 'c10::AcceleratorError'",
            '  what():  CUDA error: an illegal memory access was encountered',
        ),
        served=True,
    ),
    Case(
        report='vllm-project/vllm#15105',
        cause='gpu-memory',
        lines=(
            '(VllmWorker rank=1 pid=2978) ERROR 03-19 07:27:53 [multiproc_executor.py:375] WorkerProc hit an exception: %s',
            '(VllmWorker rank=1 pid=2978) ERROR 03-19 07:27:53 [multiproc_executor.py:375] Traceback (most recent call last):',
            '(VllmWorker rank=1 pid=2978) ERROR 03-19 07:27:53 [multiproc_executor.py:375]   File "/env/site-packages/vllm/v1/worker/gpu_model_runner.py", line 1292, in forward',
            '(VllmWorker rank=1 pid=2978) ERROR 03-19 07:27:53 [multiproc_executor.py:375] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.74 GiB. GPU 1 has a total capacity of 23.57 GiB of which 605.88 MiB is free. Process 133288 has 22.97 GiB memory in use. Of the allocated memory 20.21 GiB is allocated by PyTorch, with 128.00 MiB allocated in private pools (e.g., CUDA Graphs), and 185.98 MiB is reserved by PyTorch but unallocated.',
        ),
        config={'tp_size': 2},
    ),
    Case(
        report='vllm-project/vllm#14596',
        cause='damaged-shard',
        lines=(
            'ERROR 03-10 21:30:59 engine.py:400] Error while deserializing header: InvalidHeaderDeserialization',
            'ERROR 03-10 21:30:59 engine.py:400] Traceback (most recent call last):',
            'ERROR 03-10 21:30:59 engine.py:400]   File "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/qwen2.py", line 375, in load_weights',
            'ERROR 03-10 21:30:59 engine.py:400]     for name, loaded_weight in weights:',
            'ERROR 03-10 21:30:59 engine.py:400] safetensors_rust.SafetensorError: Error while deserializing header: InvalidHeaderDeserialization',
        ),
    ),
    Case(
        report='vllm-project/vllm#16118',
        cause='kv-cache-too-small',
        lines=(
            "ERROR 04-05 01:12:55 [core.py:390] ValueError: To serve at least one request with the models's max seq len (1048576), (24.00 GiB KV cache is needed, which is larger than the available KV cache memory (9.97 GiB). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
        ),
    ),
    Case(
        report='vllm-project/vllm#20361',
        cause='torch-mismatch',
        lines=(
            'INFO 07-02 15:53:59 [__init__.py:244] Automatically detected platform cuda.',
            'Traceback (most recent call last):',
            '  File "/home/pc/data/envs/vllmNext/bin/vllm", line 5, in <module>',
            '    from vllm.entrypoints.cli.main import main',
            'ImportError: /home/pc/data/vllm/vllm/vllm/_C.abi3.so: undefined symbol: _ZN5torch3jit17parseSchemaOrNameERKSsb',
        ),
    ),
    Case(
        report='vllm-project/vllm#10626',
        cause='nccl-failure',
        lines=(
            '(VllmWorkerProcess pid=55933) ERROR 11-25 08:17:34 multiproc_worker_utils.py:229] Traceback (most recent call last):',
            '(VllmWorkerProcess pid=55933) ERROR 11-25 08:17:34 multiproc_worker_utils.py:229]   File "/root/miniconda/envs/MapGPT/lib/python3.10/site-packages/vllm/distributed/device_communicators/pynccl.py", line 99, in __init__',
            '(VllmWorkerProcess pid=55933) ERROR 11-25 08:17:34 multiproc_worker_utils.py:229]     self.comm: ncclComm_t = self.nccl.ncclCommInitRank(',
            '(VllmWorkerProcess pid=55933) ERROR 11-25 08:17:34 multiproc_worker_utils.py:229] RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)',
        ),
        config={'tp_size': 2},
    ),
    Case(
        report='vllm-project/vllm#9329',
        cause='nccl-failure',
        lines=(
            'ERROR 10-14 01:39:49 multiproc_worker_utils.py:226] Exception in worker VllmWorkerProcess while processing method init_device.',
            'ERROR 10-14 01:39:49 multiproc_worker_utils.py:226] Traceback (most recent call last):',
            'ERROR 10-14 01:39:49 multiproc_worker_utils.py:226]   File "/usr/local/lib/python3.10/dist-packages/vllm/distributed/device_communicators/pynccl.py", line 89, in __init__',
            'ERROR 10-14 01:39:49 multiproc_worker_utils.py:226]     self.comm: ncclComm_t = self.nccl.ncclCommInitRank(',
            'ERROR 10-14 01:39:49 multiproc_worker_utils.py:226] RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details)',
        ),
        config={'tp_size': 2},
    ),
    Case(
        report='pytorch/pytorch#175666',
        cause='gpu-memory-taken',
        lines=(
            '(EngineCore_DP0 pid=6940) Traceback (most recent call last):',
            '(EngineCore_DP0 pid=6940)   File "/usr/local/lib/python3.12/dist-packages/vllm/v1/worker/worker_base.py", line 341, in execute_method',
            '(EngineCore_DP0 pid=6940)     raise e',
            '(EngineCore_DP0 pid=6940) ValueError: Free memory on device cuda:0 (19.77/22.05 GiB) on startup is less than desired GPU memory utilization (0.9, 19.84 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.',
        ),
    ),
    Case(
        report='vllm-project/vllm#11617',
        cause='internal-port-taken',
        lines=(
            'Traceback (most recent call last):',
            '  File "/env/site-packages/torch/distributed/rendezvous.py", line 186, in _create_c10d_store',
            '    return TCPStore(',
            'RuntimeError: The server socket has failed to listen on any local network address. useIpv6: 0, code: -98, name: EADDRINUSE, message: address already in use',
        ),
    ),
    Case(
        report='vllm-project/vllm#2248',
        cause='gpu-memory-pool-init',
        lines=(
            'Traceback (most recent call last):',
            '  File "/env/site-packages/vllm/engine/llm_engine.py", line 361, in _initialize_kv_caches',
            'ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.',
        ),
    ),
    Case(
        report='ray-project/ray#54812',
        cause='hub-gated',
        lines=(
            '(ServeReplica:llama3-app pid=12249, ip=10.0.155.99) Traceback (most recent call last):',
            '(ServeReplica:llama3-app pid=12249, ip=10.0.155.99)   File "/env/site-packages/transformers/utils/hub.py", line 543, in cached_files',
            '(ServeReplica:llama3-app pid=12249, ip=10.0.155.99) OSError: You are trying to access a gated repo.',
            '(ServeReplica:llama3-app pid=12249, ip=10.0.155.99) Make sure to have access to it at https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct.',
            '(ServeReplica:llama3-app pid=12249, ip=10.0.155.99) 401 Client Error.',
        ),
    ),
)
