"""The conformance run against a server that lies on demand."""
