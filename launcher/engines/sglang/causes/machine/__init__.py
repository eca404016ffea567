"""Causes that lie with the machine: its libraries, compilers, folders, memory and limits."""
