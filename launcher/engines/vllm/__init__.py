"""vLLM, served from an environment of its own; docs/vllm.md says what differs from SGLang."""
