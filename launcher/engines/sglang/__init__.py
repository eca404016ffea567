"""SGLang: its command line, log, routes, processes and versions.

What runs inside its own processes is in `plugins`. May import `engines` and what lies below it.
"""
