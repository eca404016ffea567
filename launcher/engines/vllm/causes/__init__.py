"""Why vLLM ends: a module for each kind, and the table that gives their order."""
