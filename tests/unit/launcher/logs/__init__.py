"""Tests of what a server prints."""
