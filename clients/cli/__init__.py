"""`python -m clients`: a question for scripts, a chat for people, a check of a server.

May import all of `clients`.
"""
