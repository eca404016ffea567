"""What measures this project, not speculation: generator, verdicts, start time, overheads.

Each module has a command line of its own, and no benchmark imports it.
"""
