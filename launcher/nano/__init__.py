"""The embedded nano model: a model folder of GLM-4.5's architecture, 13 MB small, trained.

The folder of this package *is* the model folder: `config.json`, tokenizer, chat template and
weights lie beside this file, so the real server loads it without a network. MODEL_CARD.md says
what it can do; `tools/nano` trains it, and writes all but the chat template and the card.
Imports nothing of ours.
"""
