"""From figures to what people and programs read: JSON, Markdown, HTML with plots; and two compared.

Imports `benchmarks.analysis`, `benchmarks.peers` and `launcher.system`; nothing imports it but the
command line.
"""
