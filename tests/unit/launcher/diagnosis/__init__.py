"""Tests of why a server ended."""
