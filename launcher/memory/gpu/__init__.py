"""What holds of a GPU: the cards by name, what is taken before a baseline, the allocator. Pure."""
