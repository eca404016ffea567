"""GLM-4.5's format read right: reasoning and tool calls, whole and streamed by one machine.

`reasoning`, `calls` and `forced` are machines that take text and give events, `schema` and `values`
say what an argument is. They are pure. `detectors` puts them into SGLang's classes, `plugin` puts
those in the place of SGLang's own.
"""
