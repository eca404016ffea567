"""What to serve and how: one frozen configuration, its sources, presets, GPUs and keys.

Not how an engine is told: that is `engines`. May import `memory`, `system` and `nano`.
"""
