"""Write the tokenizer's files: `python -m tools.nano.make_tokenizer`."""

from launcher.nano.folder import model_path
from tools.nano import tokenizer, tokens
from tools.nano.data import MAKERS, render
from tools.nano.words import Words


def texts() -> list[str]:
    """Render training dialogues of every task, from which the repeated words are counted."""
    words = Words("vocabulary")
    rendered = []
    for kind, make in MAKERS.items():
        for _ in range(2000 if kind in ("talk", "project") else 400):
            dialogue = make(words, thinking=words.chance(0.5))
            rendered.append(render(dialogue.messages, dialogue.tools, thinking=dialogue.thinking))
    return rendered


def main() -> None:
    """Count the words, and write `tokenizer.json`."""
    room = tokens.FIRST_ADDED - tokens.BYTES - len(tokenizer.pieces()) - len(tokenizer.PHRASES)
    made = tokenizer.make(tokenizer.whole_words(texts(), room))
    made.save(str(model_path() / "tokenizer.json"))


if __name__ == "__main__":
    main()
