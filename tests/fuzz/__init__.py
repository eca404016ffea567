"""The parsers under a fuzzer that follows their branches; by hand, see README.md."""
