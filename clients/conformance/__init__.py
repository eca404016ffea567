"""A conformance run against any OpenAI-compatible chat server: `python -m clients check`.

`checks/` holds one function for each contract, `run` carries them out, `probe` is what a check asks
the server with, `wire` sends plain HTTP and keeps every byte, `answer` reads it without repairing
anything, `verdicts` says what may come of a check, `report` is the JSON document.

May import `clients.errors` only: a client that repairs answers would hide what is looked for here.
"""
