"""Tests of `clients.tools`."""
