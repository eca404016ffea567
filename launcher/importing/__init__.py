"""Launch definitions that already run, turned into a configuration: `config import`.

A reader for each kind (`shell`, `container`, `compose`, `kubernetes`, `systemd`, `skypilot`) finds
the server's command in it, with its variables filled in; `translate` says it in the launcher's
fields. May import what stands below `preflight`.
"""
