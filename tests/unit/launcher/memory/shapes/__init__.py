"""What a config.json says of a model's size, and among how many ranks it is divided."""
