"""vLLM, as far as its command line is read; the launcher does not serve with it."""
