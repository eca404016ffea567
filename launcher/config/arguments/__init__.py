"""Command lines of an engine: their options, the fields that they stand for, and strangers'."""
