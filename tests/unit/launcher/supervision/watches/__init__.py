"""Tests of what watches a server."""
