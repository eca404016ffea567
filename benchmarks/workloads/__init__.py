"""Prompts: built-in workloads, a user's JSONL, ShareGPT files.

`loading` takes what a plan names: a built-in workload (`chat`; `chat-x4` for lengths times four),
or the path of a file. `builtin` says what each stands for and how long it is, `kinds` what it says;
`files` reads files. Imports `benchmarks.errors` and `launcher.text` only.
"""
