"""Keys, tokens and passwords in a log of anybody: found by their names, places and shapes. Pure.

What is not known to be a secret is one where its name says so: better a harmless value is hidden
than a key shown. Names of a model's own things stay: eos_token, num_tokens, the key of a weight.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from launcher.config.fields.secret_names import is_secret_name

REDACTED: Final = "[redacted]"
# A line without any of these holds no secret that is known here: most lines are done with that.
_HINT: Final = re.compile(
    r"(?i:key|secret|token|passw|passp|passc|pwd|_pass|auth|bearer|basic|credential|cookie|sig|://"
    r"|\beyJ|-----BEGIN|curl|wget)"
    r"|\b(?:hf_|sk-|gh[a-z]_|github_|glpat-|xox|nvapi-|A[KS]IA|AIza|ya29\.|npm_|pypi-|gsk_|r8_|pk_"
    r"|sk_|dckr_|rk_|dop_|whsec_|SG\.)"
)
# Shapes that issuers of keys have documented, or that scanners of repositories look for.
_SHAPES: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:hf|api_org)_(?=\w*\d)[A-Za-z0-9_]{16,200}"
    r"|sk-(?=[\w-]*\d)[A-Za-z0-9_-]{16,400}"
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,200}|whsec_[A-Za-z0-9]{16,200}"
    r"|gh[oprsu]_[A-Za-z0-9]{20,300}|github_pat_[A-Za-z0-9_]{20,300}|glpat-[A-Za-z0-9_-]{16,200}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,300}|nvapi-[A-Za-z0-9_-]{20,200}"
    r"|A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])|AIza[A-Za-z0-9_-]{30,60}|ya29\.[A-Za-z0-9_-]{20,400}"
    r"|dckr_(?:pat|oat)_[A-Za-z0-9_-]{16,100}|npm_[A-Za-z0-9]{30,60}|pypi-[A-Za-z0-9_-]{30,400}|gsk_[A-Za-z0-9]{20,100}"
    r"|r8_[A-Za-z0-9]{20,80}|dop_v1_[a-f0-9]{32,80}|SG\.[\w-]{16,80}\.[\w-]{16,80}"
    r"|eyJ[A-Za-z0-9_-]{5,4000}\.[A-Za-z0-9_-]{5,4000}(?:\.[A-Za-z0-9_-]{0,4000})?"
    r")"
)
_PEM: Final = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20})-----"
    r"(?P<rest>(?:(?!-----END).){0,20000})(?P<end>-----END [A-Z0-9 ]{0,60}-----)?"
)
_PEM_LINES: Final = 200
_PEM_BODY: Final = re.compile(r"[\w+/=:, .-]{1,200}$")
_IN_URL: Final = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{1,30}://)(?P<user>[^\s/?#@'\"<>]{1,500})@"
)
_OF_CURL: Final = re.compile(
    r"(?P<before>\b(?:curl|wget)\b.{0,2000}?\s(?:-u|--user|--proxy-user)[ =]?['\"]?)"
    r"[^\s'\":]{1,200}:[^\s'\"]{1,200}"
)
# The word before what authorizes, as in HTTP's header of that name.
_SCHEME: Final = re.compile(
    r"(?P<scheme>\b(?:Bearer|Basic|Digest|Negotiate|ApiKey|Token|AWS4-HMAC-SHA256)"
    r"(?: |%20|\\*['\"]?[,:=] ?\\*['\"]?))(?P<value>[^\s'\",;)\]}<>\\]{3,8000})",
    re.IGNORECASE,
)
_NAME: Final = r"(?<![A-Za-z0-9_.-])(?P<name>-{0,2}[A-Za-z_][\w.-]{0,99})"
_QUOTE: Final = r"\\{0,4}['\"]"
_SEPARATOR: Final = (
    r"(?P<separator>"
    # as in an object with a name and a value: Kubernetes
    rf"(?:{_QUOTE})?[,;]? {{0,4}}(?:{_QUOTE})?value(?:{_QUOTE})? {{0,4}}[:=] {{0,4}}"
    # as in a list of arguments, or a pair of headers
    rf"|{_QUOTE}, {{0,4}}\[?b?(?={_QUOTE})"
    # api_key=KEY, "api_key": "KEY", os.environ["HF_TOKEN"] = "KEY", <password>KEY
    rf"|(?:{_QUOTE})?\]? {{0,4}}(?:=>|[:=>]|%3D) {{0,4}}b?"
    # --api-key KEY, password KEY
    r"|(?P<blank>['\"]? {1,4})"
    r")"
)
# The name first: a value may be long, and most names are no secret's.
_NAMED: Final = re.compile(_NAME + _SEPARATOR)
_VALUE: Final = re.compile(
    r"(?P<open>\[?(?P<escape>\\{0,4})(?P<quote>['\"]))"
    r"(?P<quoted>(?:(?!(?P=escape)(?P=quote))(?:\\.|[^\\])){1,8000})"
    # A comma ends it where a blank or another field follows.
    r"|(?P<plain>(?:[^\s'\",;&)\]}<>\\]|[,;&](?![\s'\"]|$|[\w.-]{1,99}[=:])){3,8000})"
)
# They are told apart from words of a sentence and of a program by their value alone.
_WEAK: Final = frozenset({"token", "auth", "pass", "cookie", "secret", "password", "credentials"})
_NO_VALUES: Final = frozenset(
    {"none", "null", "true", "false", "nil", "unset", "undefined", "not", "str", "optional", "~"}
)
# Words with which a sentence goes on, and no key begins.
_OF_SENTENCES: Final = frozenset(
    {
        *(
            "the",
            "a",
            "an",
            "this",
            "that",
            "it",
            "its",
            "is",
            "are",
            "was",
            "has",
            "must",
            "should",
        ),
        *("cannot", "and", "or", "for", "in", "of", "to", "with", "only", "no", "nothing", "which"),
    }
)
_BEHIND_QUESTION: Final = frozenset({"key", "sig", "signature", "code"})
# A name at the end of a line, whose value is in the next one: argv or YAML printed line by line.
_NAME_AT_END: Final = re.compile(
    rf"(?:name(?:{_QUOTE})?: {{0,4}}(?:{_QUOTE})?(?P<of_value>[A-Za-z_]\w{{0,99}})|(?:^|[\s'\"])"
    rf"(?P<flag>--[a-z][\w-]{{0,99}}))(?:{_QUOTE})?,?(?: \\)?\s*$"
)
_NEXT_VALUE: Final = re.compile(
    rf"^(?P<before>\s*(?P<value>(?:{_QUOTE})?value(?:{_QUOTE})?: {{0,4}})?(?:- )?(?:{_QUOTE})?)"
    r"(?P<plain>[^\s'\"\\-][^\s'\"\\]{2,8000})"
)
# A value that was found by its name is taken out wherever it stands, where it is no word.
_KNOWN_CHARACTERS: Final = 12
_MOST_KNOWN: Final = 64


def remove_secrets(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines without keys: SGLang prints its arguments, and people their environment.

    Takes time in proportion to the lines; names, values and shapes are bounded.
    """
    known: list[str] = []
    cleaned = list(_without_named(_without_pem(lines), known))
    for value in sorted(dict.fromkeys(known), key=len, reverse=True)[:_MOST_KNOWN]:
        cleaned = [line.replace(value, REDACTED) for line in cleaned]
    return tuple(cleaned)


def _without_pem(lines: Sequence[str]) -> Iterator[str]:
    """The lines without private keys in PEM, each in one line or over several."""
    left = 0
    for line in lines:
        shown = line
        if left:
            left -= 1
            if "-----END" in line:
                left, shown = 0, REDACTED
            elif _PEM_BODY.match(line.strip()):
                shown = REDACTED
            else:
                left = 0
        if "PRIVATE KEY" in shown:
            for found in _PEM.finditer(shown):
                left = _PEM_LINES if found["end"] is None else 0
            shown = _PEM.sub(REDACTED, shown)
        yield shown


def _without_named(lines: Iterator[str], known: list[str]) -> Iterator[str]:
    awaited = ""
    for line in lines:
        shown = line
        following = _NEXT_VALUE.match(line) if awaited else None
        if following is not None and (awaited == "flag" or following["value"]):
            shown = f"{following['before']}{REDACTED}{line[following.end() :]}"
            _learn(following["plain"], known)
        awaited = ""
        if _HINT.search(shown):
            shown = _without_named_in(shown, known)
            if found := _NAME_AT_END.search(shown[-200:]):
                kind = "flag" if found["flag"] else "value"
                awaited = (
                    kind if is_secret_name(found[kind if kind == "flag" else "of_value"]) else ""
                )
        yield shown


def _without_named_in(line: str, known: list[str]) -> str:
    def in_url(found: re.Match[str]) -> str:
        user = found["user"]
        # A user's name alone is none: git@github.com.
        return found[0] if ":" not in user and len(user) < 12 else f"{found['scheme']}{REDACTED}@"

    def authorizes(found: re.Match[str]) -> str:
        if not _looks_made(found["value"]):
            return found[0]
        _learn(found["value"], known)
        return f"{found['scheme']}{REDACTED}"

    line = _SHAPES.sub(REDACTED, line)
    line = _IN_URL.sub(in_url, line)
    line = _OF_CURL.sub(rf"\g<before>{REDACTED}", line)
    line = _SCHEME.sub(authorizes, line)
    return _without_pairs(line, known)


def _without_pairs(line: str, known: list[str]) -> str:
    """A line without the values of secret names; a value may begin with another name."""
    kept, place = [], 0
    while named := _NAMED.search(line, place):
        end = named.end("name")
        value = _VALUE.match(line, named.end()) if _names_secret(named, line) else None
        if value is not None and _is_secret(named, value):
            group = "quoted" if value["quote"] else "plain"
            _learn(value[group], known)
            kept += [line[place : value.start(group)], REDACTED]
            place = value.end(group)
        else:
            kept.append(line[place:end])
            place = end
    return "".join((*kept, line[place:]))


def _names_secret(named: re.Match[str], line: str) -> bool:
    bare = named["name"].lstrip("-")
    if named.start() > 0 and line[named.start() - 1] in "?&":
        return is_secret_name(bare) or bare.lower().split("-")[-1] in _BEHIND_QUESTION
    return is_secret_name(bare)


def _is_secret(named: re.Match[str], found: re.Match[str]) -> bool:
    """Whether the value of a secret name is one, and no word for none, no number, no sentence."""
    name, value = named["name"], found["quoted"] or found["plain"]
    bare = name.lstrip("-").lower()
    goes_on = not found["quote"] and value in _OF_SENTENCES
    if goes_on or value.startswith(REDACTED) or value.lower() in _NO_VALUES:
        return False
    if named["blank"] is not None:
        is_flag = name.startswith("--") and not value.startswith("-")
        return (is_flag and len(value) >= 8) or _looks_made(value)
    if bare in _WEAK and not found["quote"]:
        return _looks_made(value) or (named["separator"].strip() == "=" and not value.isdecimal())
    if bare.endswith("token"):
        return not value.startswith("<") and not value.isdecimal()
    return True


def _looks_made(value: str) -> bool:
    """Whether a value looks like no word: it has digits, or capitals after its beginning."""
    made = any(c.isdigit() for c in value) or any(c.isupper() for c in value[1:])
    return made and len(value) >= 6 and not value.replace(".", "").isdecimal()


def _learn(value: str, known: list[str]) -> None:
    if len(known) < _MOST_KNOWN and len(value) >= _KNOWN_CHARACTERS and _looks_made(value):
        known.append(value)
