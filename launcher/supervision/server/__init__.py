"""The server as processes: its first process, started or adopted, and its proven end."""
