"""A configuration written for other programs that run servers: `export`.

`request` checks what is asked for and counts what it takes; `kubernetes`, `compose` and `skypilot`
make typed documents of it; `document` writes them as YAML. Pure: files are read and written by the
command. The opposite direction is `launcher.importing`.
"""
