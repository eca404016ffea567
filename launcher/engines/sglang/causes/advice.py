"""Clauses and look-ups that causes of several kinds share."""

from __future__ import annotations

from launcher.config.server_config import ServerConfig


def sglang_option(config: ServerConfig, flag: str) -> str | None:
    """The value that `extra_args` give to one of SGLang's own flags; the last one counts."""
    value = None
    for position, argument in enumerate(config.extra_args):
        name, equals, attached = argument.partition("=")
        if name == flag:
            following = config.extra_args[position + 1 : position + 2]
            value = attached if equals else "".join(following)
    return value


def fewer_tokens(config: ServerConfig) -> str:
    """The clause that asks for half of the KV cache's tokens, to stand behind "lower"."""
    tokens = config.max_total_tokens
    change = f"from {tokens} to {max(1, tokens // 2)}" if tokens else "below what SGLang chose"
    return f"--max-total-tokens {change}"
