"""Configurations written for other programs, read back by readers that are not ours."""
