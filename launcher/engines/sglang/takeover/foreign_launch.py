"""SGLang's command lines as people have them, of any version, said in fields. Pure."""

from __future__ import annotations

from typing import Final

from launcher.config.arguments.foreign_launch import ForeignLaunch
from launcher.engines.common.flags import FlagTable, GivenOption
from launcher.engines.sglang.command import (
    CONFIG_FLAG,
    DISAGGREGATION_FLAG,
    HARMFUL_FLAGS,
    SECRET_FLAGS,
    SWITCH_FLAGS,
    TOKENIZER_WORKERS_FLAG,
    UNSUPERVISED_FLAGS,
)
from launcher.engines.sglang.container import is_keys_file
from launcher.engines.sglang.takeover.fields import field_of, near_options, value_of

DEFAULT_PORT: Final = 30000
_TLS: Final = frozenset({"--ssl-certfile", "--ssl-keyfile", "--enable-ssl-refresh"})
_KEY_FIELDS: Final = {"--api-key": "api_key_file", "--admin-api-key": "admin_key_file"}
# Options of other versions that are spelled like none of today's, and what became of them.
# Source: the releases' argument lists, sglang 0.4.0 to 0.5.23.
_FORMER: Final = {
    "--speculative-draft": ("speculative_draft_model_path", ""),
    "--chunked-prefill": ("chunked_prefill_size", ""),
    "--enable-ep-moe": ("", "expert parallelism is --ep-size today"),
    "--enable-deepep-moe": ("", "it is --moe-a2a-backend deepep today"),
    "--enable-flashinfer-mla": ("", "it is --attention-backend flashinfer today"),
    "--enable-flashmla": ("", "it is --attention-backend flashmla today"),
    "--disable-mla": ("", "today's attention backends decide it themselves"),
    "--enable-torch-compile": ("", "today's graphs are chosen by --cuda-graph-config"),
    "--disable-disk-cache": ("", "it was removed"),
    "--expert-parallel-size": ("ep_size", ""),
}
# What they say of one machine is SGLang's default.
_DEFAULTS_OF_ONE_MACHINE: Final = frozenset({("--nnodes", "1")})


def read_launch(arguments: list[str], table: FlagTable) -> ForeignLaunch:
    """Say a command line in fields.

    Args:
        arguments: behind `sglang.launch_server`, filled in.
        table: options of the version that is served with.
    """
    made = ForeignLaunch()
    for given in table.split(arguments):
        if given.spelled == "":
            _take_free_value(made, given)
        elif given.option is None:
            _take_unknown(made, given, table)
        else:
            _take_known(made, given, table)
    typed = made.fields.get("model_path")
    # What clients ask for, unless the command says otherwise: server_args.py, `served_model_name`.
    made.fields.setdefault("served_model_name", typed)
    made.fields.setdefault("port", DEFAULT_PORT)
    made.fields.setdefault("device", "cuda")
    return made


def _take_free_value(made: ForeignLaunch, given: GivenOption) -> None:
    """A model may stand free, as behind `sglang serve`; nothing else does."""
    if "model_path" not in made.fields:
        made.take("model_path", given.values[0], "the model")
    else:
        made.dropped.append("a value that stands free, behind no option")


def _take_unknown(made: ForeignLaunch, given: GivenOption, table: FlagTable) -> None:
    """An option of another version, or one that is spelled wrong."""
    field, today = _FORMER.get(given.spelled, ("", ""))
    if field and len(given.values) == 1:
        made.take(field, given.values[0], given.spelled)
        return
    meant = [name for name in sorted(table.names) if name.startswith(given.spelled)]
    near = meant or list(near_options(given.spelled, table))
    if not today:
        today = f"today it has {', '.join(near)}" if near else "it does nothing there"
    made.dropped.append(
        f"{given.spelled}: SGLang {table.version} has no such option; {today}; not taken over"
    )


def _take_known(made: ForeignLaunch, given: GivenOption, table: FlagTable) -> None:
    option = str(given.option)
    value = given.values[0] if given.values else ""
    field = field_of(option, table)
    if option in {table.canonical(flag) for flag in SECRET_FLAGS}:
        file = _KEY_FIELDS.get(option)
        then = f"name a file of mode 0600 with {file}" if file else "no field"
        made.dropped.append(f"{option}: a secret, not written; {then}")
    elif (option, value) in _DEFAULTS_OF_ONE_MACHINE:
        made.dropped.append(f"{option} {value}: the default, left out")
    elif option == CONFIG_FLAG and is_keys_file(value):
        made.dropped.append(
            f"{option} {value}: the keys of an exported manifest; name files of mode 0600 with "
            "api_key_file and admin_key_file"
        )
    elif (why := _unservable(option, value, table)) is not None:
        made.refused = made.refused or why
    elif option in _TLS:
        made.dropped.append(f"{option}: put a proxy before the server for TLS")
    elif option in HARMFUL_FLAGS:
        made.dropped.append(f"{option}: it {HARMFUL_FLAGS[option]}")
    elif option == TOKENIZER_WORKERS_FLAG and value != "1":
        made.dropped.append(f"{option} {value}: with several of them SGLang checks no API key")
    elif field is not None and field in SWITCH_FLAGS:
        made.take(field, value=True, spelled=given.spelled)
    elif field is not None and len(given.values) == 1:
        made.take(field, value_of(given, field), given.spelled)
    else:
        made.extra += given.words
        made.taken.append(f"{given.spelled}: an argument, as it is")


def _unservable(option: str, value: str, table: FlagTable) -> str | None:
    """Why the launcher cannot watch a server with this option, or None where it can."""
    if option == DISAGGREGATION_FLAG and value != "null":
        return f"{option} {value}: prefill and decode run in servers of their own"
    if option == CONFIG_FLAG:
        return f"{option}: settings stand in SGLang's own config file; give them as arguments"
    unwatched = {table.canonical(flag) for flag in UNSUPERVISED_FLAGS}
    if option in unwatched and option not in _TLS:
        return f"{option}: the launcher waits for text over plain HTTP, and this server gives none"
    return None
