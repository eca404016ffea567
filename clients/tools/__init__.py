"""Tools: a function as the model sees it, its arguments checked, and the loop of calls."""
