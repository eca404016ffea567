"""The CPU engine: what lets the real SGLang server run on a machine without a GPU; see README.md.

The launcher imports `settings` only. No module here imports more of the launcher than `hooks` and
`version`, and none but `kernels` torch or SGLang before the plugin is switched on.
"""
