"""The newest packages of Python clients, locked, and a script for each client."""
