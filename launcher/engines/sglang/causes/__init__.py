"""Why SGLang ends: one entry for each cause, with pattern, words, remedy and retry.

`gpu`, `model` and `host` say what the cause lies in.
"""
