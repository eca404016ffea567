"""Other people's clients, unchanged, against our server, in an environment of their own.

`python/` and `node/` hold that environment's locked packages and a script for each client. A script
tries the features of `catalogue.py` and prints a line of JSON for each. `outcomes.py` runs them;
`results.json` is a recorded run, from which docs/third-party-clients.md has its table.
"""
