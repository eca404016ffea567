"""Models on this machine: which files, where, whole or not, and their removal.

Fetching and verifying them is `download`. May import `state` and what lies below it.
"""
