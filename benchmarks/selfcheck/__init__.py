"""What measures this project, not speculation: generator, verdicts, start time, overheads.

Most modules have a command line of their own. No benchmark imports this package.
"""
