"""Does speculative decoding pay? `python -m benchmarks run` measures it.

Imports go from below to above, and never sideways:

    errors, records             how it fails; a record of each request and of each cell
    workloads, plan             prompts; what is to be measured
    arms, results, load         arms by name; all that a run gathered; sends and takes times
    analysis, peers             figures and comparisons; other people's benchmarks
    report, running, tuning     JSON, Markdown, HTML; carries a plan out; the search for settings
    progress, cli_common
    cli_plan
    cli_run, cli_tune, cli_report
    cli

Beside it stand modules with a command line of their own, which nothing imports: `generator`,
`intervals_check` and `verdict_check` measure the benchmark itself, `start_time` and
`client_overhead` the launcher and the client, `soak` all of it for hours.

May import `clients` and `launcher`; neither imports it.
"""
