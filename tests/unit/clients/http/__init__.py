"""Tests of `clients.http`."""
