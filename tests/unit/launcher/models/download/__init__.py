"""Tests of models from the hub."""
