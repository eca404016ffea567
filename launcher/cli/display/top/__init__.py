"""What `top` shows in a terminal.

    words.py    figures in a few characters
    detail.py   one server: lines of which the most important come first
    table.py    all servers, a line each
    lines.py    a server in one line, for a pipe
    screen.py   both, in the room that there is
    view.py     what the person has chosen, and what a key changes
    keyboard.py keys, one by one
    loop.py     looks, paints and listens

All but the last two are pure.
"""
