"""Tests of records and events on disk."""
