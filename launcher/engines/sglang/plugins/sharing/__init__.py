"""One import for all processes of a server: docs/start.md.

`imports` says what is imported, and whether a fork may follow; `forks` holds processes that were
forked after it, and hands SGLang's children to them; `stand_by` waits, all imported, until the
launcher needs another server; `plugin` is what SGLang calls.
"""
