"""SGLang's model gateway, smg: one address in front of several servers.

It generates nothing itself, and is to the launcher one more thing that is started, watched and
stopped. `discovery.py` keeps the file that tells it of its servers.
"""
