"""Tests of the nano model without a server: its folder, the trained one, and the training.

Imports launcher.nano, tools.nano, and of the engine what reads a model folder.
"""
