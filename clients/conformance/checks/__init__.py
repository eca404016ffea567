"""The contracts, one function for each, in modules by what they are about.

May import what stands beside this package in `clients.conformance`, but for `run` and `report`.
"""
