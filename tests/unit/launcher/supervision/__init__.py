"""Tests of what keeps a server up."""
