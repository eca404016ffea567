"""Why a server ended: the search for a cause, the conclusion, the error that says it.

Pure. The causes themselves are each engine's. May import `engines` and what lies below it.
"""
