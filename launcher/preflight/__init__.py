"""Everything that is known before a start: the checks, whether it fits, the launch itself.

It makes a `Launch`; `supervision` runs one, and neither imports the other. May import `models`,
`engines` and what lies below them.
"""
