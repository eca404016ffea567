"""Figures of metrics, from samples on."""
