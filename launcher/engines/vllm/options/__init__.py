"""vLLM's command line as a table; one data file for each verified version."""
