"""One run of a server, from its spawn, or its adoption, to the proof that nothing of it is left.

`loop` routes what the mailbox brings to the parts: `spawn`, `members`, `starting`, `serving`,
`stopping`. Each has one job; what they share is in `context`.
"""
