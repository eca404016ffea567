"""GLM-4.5's format, read by machines of our own."""
