"""How much memory a model takes: shapes, the plan, advice, the plan beside a server's report.

Pure: nothing here looks at a machine, a disk or a network. May import `system` for its units.
"""
