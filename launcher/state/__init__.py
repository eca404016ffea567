"""What is known of servers on disk: the run record, its store, states, events, and their folders.

Only a supervisor writes; everybody reads. May import `config`, `memory` and `system`.
"""
