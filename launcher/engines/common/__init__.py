"""What several engines share: asking over HTTP, a command line as a table, causes of any engine."""
