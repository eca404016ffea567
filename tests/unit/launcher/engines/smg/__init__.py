"""The gateway, as an engine."""
