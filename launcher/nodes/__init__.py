"""Several machines that serve one model together: what they know and tell of each other.

SGLang itself divides the model among them. What it does not do is here: a supervisor on each
machine, which compares its start with the others' before anything is loaded, begins with them, and
ends with them. Machine 0 leads; the others follow it.
"""
