"""Commands that look and change nothing: `doctor` at this machine, `diagnose` at a server's log."""
