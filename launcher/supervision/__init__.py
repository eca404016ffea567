"""Keeps a server up: one supervisor, its runs, what it waits for, and the stop from outside.

It runs a `Launch`; `preflight` makes one, and neither imports the other. May import `diagnosis`,
`logs`, `engines` and what lies below them.
"""
