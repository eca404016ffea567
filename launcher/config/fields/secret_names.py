"""Names whose values are secrets, whatever holds them: a log, a configuration. Pure."""

from __future__ import annotations

import re
from typing import Final

_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRETS: Final = frozenset(
    {
        *("password", "passwd", "passphrase", "passcode", "passwords", "secret", "secrets"),
        *("credential", "credentials", "authorization", "cookie", "apikey", "apikeys", "accesskey"),
        *("secretkey", "privatekey", "authtoken", "accesstoken", "pwd", "pass", "auth", "pat"),
    }
)
# What makes a key a secret: the keys of a cache, a mapping or a weight are none.
_OF_KEYS: Final = frozenset(
    {
        *(
            "api",
            "access",
            "secret",
            "private",
            "admin",
            "auth",
            "encryption",
            "signing",
            "license",
        ),
        *("account", "service", "master", "subscription", "client", "ssh", "ssl", "tls", "hub"),
        *("hf", "openai", "azure", "aws", "gcp", "google", "anthropic", "wandb", "shared", "x"),
        *("huggingface", "deploy", "bot", "webhook", "crypto", "user", "root", "security"),
    }
)
# Before "token": one of a text, not of an account.
_OF_TEXT: Final = frozenset(
    {
        *("eos", "bos", "pad", "unk", "sep", "cls", "mask", "image", "audio", "video", "start"),
        *("end", "stop", "special", "next", "per", "max", "min", "num", "draft", "last", "first"),
        *(
            "new",
            "input",
            "output",
            "prompt",
            "think",
            "mm",
            "placeholder",
            "extra",
            "added",
            "each",
        ),
        *("single", "one", "by", "every", "sampled", "verified", "bonus", "prefill", "decode"),
        *("tool", "thinking", "begin", "hot", "unexpected", "invalid", "of", "accepted", "no"),
    }
)


def is_secret_name(name: str) -> bool:
    """Whether a value of that name is a secret, in whatever case and with whatever separators.

    Args:
        name: of a field, a flag, a variable or a header: "api_key", "--admin-api-key", "HF_TOKEN",
            "secretAccessKey".
    """
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts or name in {"PWD", "OLDPWD"}:
        return False
    *before, last = parts
    if last in {"id", "value"} and before[-1:] == ["key"] and "access" in before:
        *before, last = before
    if last in {"pwd", "pass", "auth", "pat"} and parts not in (["pass"], ["pat"]):
        return bool(before) and before[-1] not in {"enable", "disable", "use", "no", "forward"}
    # PGPASSWORD
    if last in _SECRETS or last.endswith(("password", "passwd")):
        return True
    if last == "token" or (last.endswith("token") and len(last) > len("token")):
        return not (before and before[-1] in _OF_TEXT)
    if last in {"key", "keys"}:
        return bool(_OF_KEYS & set(before)) or bool(before and name.isupper())
    return False
