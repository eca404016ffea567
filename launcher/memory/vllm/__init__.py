"""vLLM's division of a rank's memory: what a profile run takes comes before the KV cache. Pure."""
