"""Tools: a function as the model sees it, its arguments checked, and one call carried out.

The loop that asks, calls and asks again is in `flow`. May import `errors`, `reply` and `events`.
"""
