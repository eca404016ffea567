"""The machine as the operating system shows it: hardware, processes, ports, memory, files.

Nothing here knows what a server or an engine is. May import `errors`, `names` and `text` only.
"""
