"""The tests of `launcher.nodes`."""
