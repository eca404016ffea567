"""What `top` shows, for Prometheus and Grafana: the same questions, kept and watched over.

    targets.py    which servers are asked
    queries.py    quantities in PromQL, from the engines' own tables of names
    alerts.py     of what somebody wants to be told
    rules.py      recording rules, and those alerts over them
    scrape.py     Prometheus' configuration
    dashboard.py  Grafana's dashboard, over the recording rules
    bundle.py     the three files

All of it is pure.
"""
