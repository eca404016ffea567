"""Causes that lie with the model: its files, the hub, its weights, its draft model."""
