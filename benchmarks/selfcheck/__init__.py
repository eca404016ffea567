"""What measures this project and not speculation: the generator, the verdicts, start time, overheads.

Each module has a command line of its own, and no benchmark imports it.
"""
