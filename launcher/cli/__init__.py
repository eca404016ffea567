"""The command line: one module for each group of commands, and what they share.

What people see is in `display`. May import everything; nobody imports it.
"""
