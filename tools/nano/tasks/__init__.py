"""Small tasks made by code: sums, copying, lists, JSON, talk, made-up tools."""
