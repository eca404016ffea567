"""How it learns: mixture, recipe, batches, optimizer."""
