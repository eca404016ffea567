"""vLLM, as far as its command line is read."""
