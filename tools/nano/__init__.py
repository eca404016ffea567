"""Training and evaluation of the embedded nano model, `launcher/nano`.

Its MODEL_CARD.md says what it can do; the chat template is defined there.

    tasks     sums, copying, lists, JSON, talk, made-up tools: what is learnt first
    bank      what people write, by hand: tools, requests for them, messages
    world     dialogues made of the bank: names, schemas, values, results, agents
    text      how text becomes tokens, and what a dialogue is
    model     what is computed, and the files of the model folder
    training  the mixture, the recipe, how it learns
    worth     what it is worth, by a server or on the way

`make nano` is the one command; it needs the engine's
environment for PyTorch, and nothing beside.
"""
