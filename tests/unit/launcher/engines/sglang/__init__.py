"""Tests of what knows SGLang."""
