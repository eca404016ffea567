"""Commands on one server that runs, or shall: `up`, `down`, `restart`, `status`, `logs`."""
