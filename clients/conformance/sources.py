"""Where the contracts are written."""

from typing import Final

_OPENAI: Final = "https://platform.openai.com/docs"

CHAT: Final = f"OpenAI API reference, create chat completion: {_OPENAI}/api-reference/chat/create"
OBJECT: Final = (
    f"OpenAI API reference, the chat completion object: {_OPENAI}/api-reference/chat/object"
)
CHUNK: Final = (
    "OpenAI API reference, the chat completion chunk object: "
    f"{_OPENAI}/api-reference/chat-streaming/streaming"
)
MODELS: Final = f"OpenAI API reference, list models: {_OPENAI}/api-reference/models/list"
ERRORS: Final = f"OpenAI guide, error codes: {_OPENAI}/guides/error-codes"
EMBEDDINGS: Final = (
    f"OpenAI API reference, create embeddings: {_OPENAI}/api-reference/embeddings/create"
)
TOOLS: Final = f"OpenAI guide, function calling: {_OPENAI}/guides/function-calling"
STRUCTURED: Final = f"OpenAI guide, structured outputs: {_OPENAI}/guides/structured-outputs"
SEED: Final = f"OpenAI guide, reproducible outputs: {_OPENAI}/guides/advanced-usage"
SSE: Final = (
    "WHATWG HTML, server-sent events: "
    "https://html.spec.whatwg.org/multipage/server-sent-events.html"
)
JSON: Final = "RFC 8259, the JSON data interchange format: https://www.rfc-editor.org/rfc/rfc8259"
SCHEMA: Final = (
    "JSON Schema validation, enum and type: "
    "https://json-schema.org/draft/2020-12/json-schema-validation"
)
UTF8: Final = "RFC 3629, UTF-8: https://www.rfc-editor.org/rfc/rfc3629"
REASONING: Final = (
    "SGLang docs, reasoning parser: "
    "https://docs.sglang.ai/advanced_features/separate_reasoning.html; vLLM docs, reasoning "
    "outputs: https://docs.vllm.ai/en/latest/features/reasoning_outputs.html"
)
ABORT: Final = (
    "RFC 9110, section 9.3.3 leaves it to the server; vLLM and SGLang abort the request of a "
    "client that has gone: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"
)
