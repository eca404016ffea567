"""Training and evaluation of the embedded nano model, `launcher/nano`.

Its MODEL_CARD.md says what it can do; the chat template is defined there.

    tokens -> shape                                         its vocabulary and dimensions
    words, dialogue -> sums, tasks, tool_use, talk -> data  what it learns
    tokenizer, make_tokenizer                               how text becomes tokens
    experts -> network -> draft, generate                   what is computed
    export, probe                                           what becomes of a checkpoint
    recipe, batches, optimizer, export -> train             how it learns
    score -> parse; held_out -> evaluate                    what it is worth, by a server

Each is imported by those on its right. `make nano` is the one command; it needs the engine's
environment for PyTorch, and nothing beside.
"""
