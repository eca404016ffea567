"""SGLang's own warm-up: it asks its own address as any client would.

The texts are those of entrypoints/http_server.py, `_execute_server_warmup`, requests and urllib3.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry

# What a proxy answers for a host that it does not reach or does not want to.
_OF_PROXIES: Final = {"301", "302", "307", "403", "404", "405", "407", "502", "503", "504"}


def _in_warm_up(match: LogMatch) -> bool:
    return match.came_through("", "_execute_server_warmup") or "warm" in match.found.string.lower()


def _by_proxy(match: LogMatch) -> bool:
    if match["proxy"]:
        # A page of HTML is a proxy's answer only where the server asked itself.
        return "JSONDecodeError" not in match["proxy"] or _in_warm_up(match)
    return _in_warm_up(match) and match["status"] in _OF_PROXIES


def _reach_it(match: LogMatch) -> str:
    if re.search(r"RemoteDisconnected|Connection aborted|reset by peer", match.text):
        return (
            "It closed the connection: look further up for the first exception of a scheduler or "
            "the detokenizer, and in `dmesg -T` for a process that was killed; then start again."
        )
    if re.search(r"Errno 111|refused", match.text):
        return (
            "Nothing listened there: look further up why the HTTP server did not come up (its port "
            "is taken, an exception), and take --host 0.0.0.0 or an address of this machine."
        )
    return (
        "Look first whether the server ended before (further up); else a firewall or a VPN drops "
        "what goes to that address: take --host 127.0.0.1 or 0.0.0.0, or `-- "
        "--skip-server-warmup`."
    )


def _answer(match: LogMatch) -> str:
    status = f" with status {match['status']}" if match["status"] else ""
    return (
        "SGLang's own warm-up did not reach its own address: a proxy of the environment "
        f"answered{status}."
    )


ERRORS: Final = {
    "warm-up-proxy": LogCause(
        pattern=r"res=<Response \[(?P<status>\d+)\]>"
        r"|(?P<proxy>Missing dependencies for SOCKS|ProxyError\(|Cannot connect to proxy"
        r"|Tunnel connection failed|JSONDecodeError: Expecting value: line 1 column 1)",
        applies=_by_proxy,
        sample="Traceback (most recent call last):\n"
        '  File "sglang/srt/entrypoints/http_server.py", line 77, in _execute_server_warmup\n'
        "AssertionError: res=<Response [503]>, res.text='no route'",
        summary=_answer,
        action="Set NO_PROXY=127.0.0.1,localhost,0.0.0.0 (and the server's own --host), or unset "
        "http_proxy, https_proxy and all_proxy for the server.",
        looks="`res=<Response [503]>` or `ProxyError` below `_execute_server_warmup`",
    ),
    "warm-up-too-long": LogCause(
        pattern=r"exceeds the maximum allowed length \((?P<allowed>\d+) tokens\)",
        applies=_in_warm_up,
        sample="Traceback (most recent call last):\n"
        '  File "sglang/srt/entrypoints/http_server.py", line 77, in _execute_server_warmup\n'
        'AssertionError: {"message":"Input length (6 tokens) plus max_new_tokens exceeds the '
        'maximum allowed length (8 tokens)."}',
        summary="SGLang's own warm-up request is longer than the {allowed} tokens that a request "
        "may have.",
        action="Raise --context-length and --max-total-tokens: they allow {allowed} tokens now.",
        looks="`exceeds the maximum allowed length` below `_execute_server_warmup`",
    ),
    "warm-up-refused": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"^AssertionError: (?:res=<Response \[(?P<status>\d+)\]>, res\.text=)?"
        r"(?P<text>.{1,300})",
        applies=lambda match: match.came_through("", "_execute_server_warmup"),
        sample="Traceback (most recent call last):\n"
        '  File "sglang/srt/entrypoints/http_server.py", line 77, in _execute_server_warmup\n'
        'AssertionError: {"error":{"message":"Internal Server Error"}}',
        summary=lambda match: (
            "SGLang's own warm-up request failed: "
            + (f"status {match['status']}, " if match["status"] else "")
            + f"{match['text'].strip().rstrip('.')}."
        ),
        action="Read what the scheduler printed before it; `-- --skip-server-warmup` starts "
        "without that request, and shows whether later ones fail too.",
        looks="an answer other than 200 below `_execute_server_warmup`",
    ),
    "warm-up-unreachable": LogCause(
        confidence=Confidence.LIKELY,
        pattern=r"(?:ConnectTimeout|ConnectionError|ConnectionRefusedError|NewConnectionError"
        r"|TimeoutError|MaxRetryError)\b.*",
        applies=lambda match: (
            match.came_through("", "_execute_server_warmup") and not match.end.served
        ),
        sample="Traceback (most recent call last):\n"
        '  File "sglang/srt/entrypoints/http_server.py", line 77, in _execute_server_warmup\n'
        "requests.exceptions.ConnectionError: HTTPConnectionPool(host='10.8.0.4', port=30000): Max "
        "retries exceeded with url: /model_info",
        summary="SGLang's own warm-up did not reach the server at its own address.",
        action=_reach_it,
        remedy="Look whether the server came up at all; take `--host 127.0.0.1` or 0.0.0.0.",
        looks="a connection error below `_execute_server_warmup`",
    ),
    "warm-up-slow": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"ReadTimeout: .*Read timed out\. \(read timeout=(?P<seconds>[\d.]+)\)",
        applies=_in_warm_up,
        sample="Traceback (most recent call last):\n"
        '  File "sglang/srt/entrypoints/http_server.py", line 77, in _execute_server_warmup\n'
        "requests.exceptions.ReadTimeout: HTTPConnectionPool(host='127.0.0.1', port=30000): Read "
        "timed out. (read timeout=600)",
        confidence=Confidence.LIKELY,
        summary="SGLang's own warm-up request had no answer within {seconds} s.",
        action="Where kernels were being compiled (DeepGEMM, the first start), start again: they "
        "are kept; SGLANG_WARMUP_TIMEOUT waits longer; else the first batch hangs, and `py-spy "
        "dump` of the scheduler says where.",
        looks="`Read timed out` below `_execute_server_warmup`",
    ),
}
