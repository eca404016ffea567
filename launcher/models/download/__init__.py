"""Models from the hub: what is asked for, the transfer, the events it tells, the verification.

May import `models` and what lies below it.
"""
