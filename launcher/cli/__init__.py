"""The command line: one module for each group of commands, and what they share.

What people see is in `display`. May import everything. The benchmarks import `shell` and
`display.consoles`; nobody else imports any of it.
"""
