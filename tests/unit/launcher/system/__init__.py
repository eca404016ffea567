"""Tests of the machine as the operating system shows it."""
