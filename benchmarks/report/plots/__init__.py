"""The report's pictures, as SVG: `panels` draw on axes, `draw` puts them on the page in order.

Pure: `benchmarks.report.files` writes them. Imports the report's document, tables and wording, and
what they may.
"""
