"""What an engine is to the launcher, and one folder for each engine.

Outside these folders nobody knows a flag, a log line or a route of an engine. May import `config`
and what lies below it.
"""
