"""Does speculative decoding pay? `python -m benchmarks run` measures it.

`workloads` has the prompts, `load` sends them and takes times, `running` carries a plan out,
`peers` lets other benchmarks measure, `analysis` makes figures of what was gathered, `report`
writes them, and `cli` is the command line. `selfcheck` measures this project itself.
May import `clients` and `launcher`; neither imports it.
"""
