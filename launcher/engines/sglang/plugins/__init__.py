"""What runs inside SGLang's own processes, as plugins of its own kind.

`entry` is the one that SGLang finds; it activates the others in their order: one import for all
processes (`sharing`), bounds of connections, requests and lines of the log (`guard`), the engine
without a GPU (`cpu`), keys kept out of answers (`redaction`), answers in GLM's format (`glm`), what
OpenAI's clients take for granted (`openai_api`), and what the launcher needs from a start to a stop
(`lifecycle`); `hooks` puts them in place.
The launcher itself imports nothing of it but `cpu.settings` and `glm.settings`.
"""
