"""How text becomes tokens, and what a dialogue is."""
