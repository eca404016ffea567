"""Definitions by which other programs start servers: a systemd unit, manifests."""
