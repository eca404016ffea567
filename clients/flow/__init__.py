"""One flow for both clients: what a request does, step by step, whoever performs the steps.

Nothing here waits or sends but `sending`. May import `http`, `tools` and what they may.
"""
