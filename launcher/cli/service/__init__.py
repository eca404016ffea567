"""`service`: a systemd unit for a server, and its text."""
