"""Configuration that nobody sane would write: drawn files, variables, flags and arguments.

A case is carried out by the command line in this process, as `up --dry-run --json`, which reads
everything that a start reads. `flaw` says what was wrong with the outcome.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st

from launcher.cli import main
from launcher.config.server_config import ServerConfig
from launcher.state.paths import servers_root

# What README.md and `--help` promise of a configuration: done, usage, configuration, this machine.
DOCUMENTED = frozenset({0, 2, *range(10, 18), *range(20, 34)})
# Those that take any text stand twice: what is accepted there goes on to a start.
_FREE = ("model_path", "served_model_name", "host", "tool_call_parser", "reasoning_parser")
_FREE_TOO = ("speculative_draft_model_path", "api_key_file", "admin_key_file", "extra_args")
FIELDS = sorted(ServerConfig.model_fields) + [*_FREE, *_FREE_TOO] * 3


@dataclass(frozen=True)
class Case:
    """One call: a file with its ending, variables, and arguments.

    Args:
        file: its content; None for none.
        ending: of its name.
        kind: what the file is: "file", or another type of file system entry.
    """

    file: bytes | None = None
    ending: str = ".yaml"
    kind: str = "file"
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


# --- what is drawn -----------------------------------------------------------------------------

_HOSTILE_TEXT = st.sampled_from(
    [
        *("\0", "a\0b", "a\nb", "\r", "\x1b[2J", "\x1b]0;title\x07", "\x7f", "\x85", "\u2028"),
        *("\ud800", "\udcff", "\u202e", "\ufeff", "x" * 100_000, "9" * 5000, "-1", "1e400"),
        *("nan", ".inf", "-.INF", "0x10", "010", "0o10", "1_0", "1:30", "yes", "no", "on", "~"),
        *("null", "true", "2024-01-01", "", " ", "--", "--help", "-x", "../..", "/dev/zero"),
        *("~nobody", "~\0", "a/b/c", "/" + "x" * 300, "[" * 300, "{}", "%s%n", "$(id)", "\\x00"),
    ]
)
TEXT = _HOSTILE_TEXT | st.text(max_size=30) | st.text("0123456789.:-+_eExXoO", max_size=12)
SCALARS = (
    TEXT
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.sampled_from([2**63, -(2**63), 10**400, 10**4000, 1e308, -0.0])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
# As YAML and TOML write them, with what JSON has no word for.
_LITERALS = st.sampled_from(
    [
        *("yes", "No", "ON", "010", "0o17", "0x1F", "1:30", "1:30.5", "1_000", ".inf", ".nan"),
        *("1e400", "2024-01-01", "2024-13-01", "2024-01-01T00:00:00Z", "!!int 'x'", "!!float x"),
        *("!!python/object:os.system x", "!!binary AAAA", "!!set {a}", "!!bool x", "*nobody"),
        *("&a [*a]", "&a {x: *a}", "'\\0'", '"\\0"', '"\\ud800"', '"\\e[31m"', "|\n  a\n  b"),
        *("!!timestamp 9", "9" * 5000, "0b" + "1" * 5000, "inf", "nan", "-nan", '"""\na"""'),
        *("[" * 20_000, "{a: " * 5_000, "- " * 5_000, "[" * 300 + "]" * 300, "<<: 1", "? [a]"),
    ]
)


def _assigned(text: str, ending: str) -> st.SearchStrategy[bytes]:
    between = " = " if ending == ".toml" else ": "
    return st.sampled_from(FIELDS).map(
        lambda name: f"{name}{between}{text}\n".encode("utf-8", "surrogatepass")
    )


def _json_file(values: dict[str, Any]) -> bytes:
    # JSON is YAML.
    return json.dumps(values).encode()


_BOMB = "\n".join(
    ["served_model_name: &a0 [x]"]
    + [f"extra_args: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 6)]
)
_NESTED_BOMB = (
    "extra_args: ["
    "&a0 [x], "
    + ", ".join(f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 6))
    + "]\ndevice: *a5\npreset: *a5\n"
)
_RAW = st.sampled_from(
    [
        *(b"", b"\xef\xbb\xbfport: 80\n", b"\xff\xfep\x00", "port: 80".encode("utf-16")),
        *(b"port: 80\0", b"\xff\xff", b"port: 1\x1b", b"%YAML 9.9\n---\nport: 1", b"%TAG ! x\n"),
        *(b"--- a\n--- b\n", b"port: 1\nport: 1\n", b"a\xc2\x85b: 1", b"\t", b"[[a]]\n[[a]]\n"),
        *(_BOMB.encode(), _NESTED_BOMB.encode(), b"a.b.c = 1\n", b"[" * 100_000, b"{" * 20_000),
        *(b"- " * 20_000, b"a: " * 20_000, b"x" * 300_000, b"port: " + b"1" * 100_000),
        *(b"#" * 2_000_000, b"port = " + b"[" * 20_000, b"x = " + b"{a=" * 5_000, b"." * 50_000),
        *(b"!" * 50_000, b"&a " * 5_000, b"? " * 20_000, b"'" * 100_001, b"model_path: '\\", b"%"),
    ]
)
ENDINGS = st.sampled_from([".yaml", ".yml", ".toml"])


@st.composite
def files(draw: st.DrawFn) -> Case:
    """A file of any content."""
    ending = draw(ENDINGS)
    content = draw(
        st.one_of(
            _RAW,
            st.binary(max_size=200),
            st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
            _LITERALS.flatmap(lambda text: _assigned(text, ending)),
            st.dictionaries(st.sampled_from(FIELDS) | TEXT, VALUES, max_size=4).map(_json_file),
            st.dictionaries(st.sampled_from(FIELDS), SCALARS, max_size=3).map(_json_file),
        )
    )
    return Case(file=content, ending=ending)


@st.composite
def single_fields(draw: st.DrawFn) -> Case:
    """One field with one value, from one source."""
    name, source = draw(st.sampled_from(FIELDS)), draw(st.sampled_from(["yaml", "env", "flag"]))
    if source == "yaml":
        return Case(file=_json_file({name: draw(_HOSTILE_TEXT | VALUES)}))
    value = draw(TEXT).replace("\0", "0")
    if source == "env":
        return Case(environment={f"SPECSERVE_{name.upper()}": value})
    if name == "extra_args":
        return Case(arguments=("--", value))
    return Case(arguments=(f"--{name.replace('_', '-')}", value))


@st.composite
def passed_on(draw: st.DrawFn) -> Case:
    """Arguments for the engine, and variables of any name."""
    flags = st.sampled_from(
        [
            *("--chunked-prefill-size", "--json-model-override-args", "--random-seed", "--port"),
            *("--schedule-conservativeness", "--log-level", "--chat-template", "--enable-mixed"),
            *("--cuda-graph-bs", "--model-loader-extra-config", "--api-key", "--config", "--"),
        ]
    )
    words = draw(st.lists(flags | TEXT.map(lambda text: text.replace("\0", "0")), max_size=5))
    names = st.text(max_size=10).map(
        lambda text: "SPECSERVE_" + text.replace("\0", "").replace("=", "")
    )
    return Case(
        arguments=("--", *words),
        environment=draw(
            st.dictionaries(names, TEXT.map(lambda text: text.replace("\0", "0")), max_size=1)
        ),
    )


SPECIAL_KINDS = ("fifo", "folder", "missing", "endless", "socket", "loop", "large")
CASES = st.one_of(files(), files(), single_fields(), single_fields(), passed_on())


# --- how it is carried out ---------------------------------------------------------------------


def make_pipe(path: Path) -> None:
    """A FIFO that nobody writes to."""
    os.mkfifo(path, 0o600)


@contextlib.contextmanager
def _config_file(folder: Path, case: Case) -> Iterator[Path]:
    path = folder / f"config{case.ending}"
    match case.kind:
        case "file":
            path.write_bytes(case.file or b"")
        case "fifo":
            make_pipe(path)
        case "folder":
            path.mkdir()
        case "endless":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case "large":
            with path.open("wb") as file:
                file.truncate(60 * 2**20)
    try:
        yield path
    finally:
        if case.kind == "folder":
            path.rmdir()
        elif case.kind != "missing":
            path.unlink()


def flaw(case: Case, folder: Path) -> str | None:
    """Carry out a case; what was wrong with the outcome, or None."""
    arguments = list(case.arguments)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    with contextlib.ExitStack() as stack:
        own = ["up", "--dry-run", "--json", "--preset", "nano"]
        if case.file is not None:
            own += ["--config", str(stack.enter_context(_config_file(folder, case)))]
        words = [os.fsdecode(_encoded(word)) for word in arguments]
        called = [*own, *words[:split], *words[split:]]
        variables = {_encoded(k): _encoded(v) for k, v in case.environment.items()}
        for name, value in variables.items():
            os.environb[name] = value
            stack.callback(os.environb.pop, name, None)
        return _carry_out(called)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _carry_out(arguments: list[str]) -> str | None:
    # As Python makes them for a process whose locale is UTF-8.
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    with (
        mock.patch.object(sys, "argv", ["launcher", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main.main()
        except SystemExit as end:
            code = end.code
        except BaseException as error:  # noqa: BLE001  # that is what is looked for
            return f"{type(error).__name__}: {str(error)[:200]}"
    out.flush()
    said = out.buffer.getvalue().decode()
    if code not in DOCUMENTED:
        return f"exit code {code} is not documented"
    if servers_root().exists():
        return "a dry run left something behind"
    if len(said) > 400_000:
        return f"{len(said)} characters were printed"
    return _unusable(json.loads(said)) if code == 0 and "argv" in said else None


def _unusable(command: dict[str, Any]) -> str | None:
    """What a start would stumble over although the dry run did not."""
    for word in (*command["argv"], *command["environment"].values()):
        if bad := [c for c in word if not c.isprintable() and c != " " and ord(c) < 0xA0]:
            return f"accepted, with {bad[0]!r} in an argument"
        try:
            os.fsencode(word).decode()
        except UnicodeError:
            return "accepted, with an argument that is no text"
    return None
