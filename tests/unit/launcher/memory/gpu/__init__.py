"""Tests of what holds of a GPU."""
