"""`python -m clients`: one question for scripts, and a chat for people.

May import all of `clients`.
"""
