"""What it is worth: held-out sets, requests of others, and their scores."""
