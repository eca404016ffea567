"""What keeps one request from ending or blocking the server for all others.

`connections` bounds what is read from a connection, `requests` what a request may ask for, `prompts`
how much text and how large a grammar it may bring, `lines` what its text may look like in the log.
`bounds` holds the figures, `plugin` puts all in place.
"""
