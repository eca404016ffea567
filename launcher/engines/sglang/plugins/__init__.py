"""What runs inside SGLang's own processes: hooks, redaction, the engine without a GPU.

The launcher itself imports nothing of it but `cpu.settings`.
"""
