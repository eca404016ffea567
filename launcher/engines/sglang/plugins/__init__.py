"""What runs inside SGLang's own processes, as plugins of its own kind.

Keys kept out of answers (`redaction`), answers in GLM's format (`glm`), the end of a warm-up
(`warm_up`), what OpenAI's clients take for granted (`openai_api`), the engine without a GPU
(`cpu`), bounds of connections and requests (`guard`); `hooks` puts them in place.
The launcher itself imports nothing of it but `cpu.settings` and `glm.settings`.
"""
