"""vLLM's command lines said in fields: the user's own after `--`, and strangers' launches."""
