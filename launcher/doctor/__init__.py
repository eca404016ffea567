"""What of this machine keeps a model from being served: probes, and what they read.

Shown by `cli.checks.doctor`. May import `preflight` and what lies below it.
"""
