"""Training and evaluation of a nano model that answers, to become the embedded one.

The model so far is the folder `tools/nano/model`; its MODEL_CARD.md says what it can do. The
embedded model, `launcher/nano`, is not trained; shape, added tokens and chat template are its.

    vocabulary -> folder                                    how it differs from the embedded
    words, dialogue -> sums, tasks, tool_use, talk -> data  what it learns
    tokenizer, make_tokenizer                               how text becomes tokens
    experts -> network -> draft, generate                   what is computed
    export, probe                                           what becomes of a checkpoint
    recipe, batches, optimizer, export -> train             how it learns
    score -> parse; held_out -> evaluate                    what it is worth, by a server

Each is imported by those on its right. `python -m tools.nano.train` is the one command; it needs
the engine's environment for PyTorch, and nothing beside.
"""
