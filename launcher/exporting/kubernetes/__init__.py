"""Manifests of Kubernetes.

`pods` and `objects` are its types as far as they are written, `server` and `gateway` the two kinds
of pods, `manifest` and `leader_worker_set` the files.
"""
