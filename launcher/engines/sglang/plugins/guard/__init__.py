"""What keeps one request from ending or blocking the server for all others.

`connections` bounds what is read from a connection, `requests` what a request may ask for,
`prompts` and `grammars` how much text it may bring, `lines` what that may look like in the log.
`bounds` holds the figures, `plugin` puts all in place.
"""
