"""Tests of the nano model without a server: its folder, and its training.

Imports launcher.nano, tools.nano, and of the engine what reads a model folder.
"""
