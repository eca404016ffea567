"""Tests of `clients.cli`."""
