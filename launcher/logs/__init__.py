"""What a server prints: the collector that keeps it, the log files, and their reader.

Not what it means: that is `engines` and `diagnosis`. May import `system`.
"""
