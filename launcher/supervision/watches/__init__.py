"""Threads and judges that watch a server: its start, its readiness, its health, its processes.

They report and decide nothing: the loop of a run does.
"""
