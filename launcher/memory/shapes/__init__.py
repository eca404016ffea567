"""What a `config.json` says of a model's size, and among how many ranks SGLang divides it. Pure."""
