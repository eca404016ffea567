"""Starts vLLM's server with keys from a file: `python -m specserve_vllm`."""

from .start import main

if __name__ == "__main__":
    main()
