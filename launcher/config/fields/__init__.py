"""The fields of a configuration that go to the engine, and what no value of a field may be."""
