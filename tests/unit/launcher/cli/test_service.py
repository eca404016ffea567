"""The systemd unit: what stands in it, and that systemd reads back what was meant.

Where systemd's own reader is installed it is asked; a small one of our own is always.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from launcher import errors
from launcher.cli.service.command import TELLING_PREFIXES
from launcher.cli.service.command import service as command
from launcher.cli.service.unit import (
    RESTART_SECONDS,
    WATCHDOG_SECONDS,
    Service,
    prevented_exit_codes,
    quote,
    unit_text,
)
from launcher.errors import (
    ConfigError,
    InvalidValueError,
    LauncherError,
    NoGpuError,
    PortInUseError,
    SecretInArgumentsError,
    StateError,
)
from launcher.supervision.stop import SUPERVISOR_MARGIN_SECONDS
from launcher.system import hardware
from tests.unit.launcher.examples import SECRET

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
# An account that every Linux has, and that is no person's.
ACCOUNT = "daemon"

# Everything that a unit can hold: no control characters, surrogates or noncharacters.
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Cs"]), max_size=30
) | st.text("%$\\\"' ;#{}`~x", max_size=12)
ODD_WORDS = ["", " ", "a b", '"', "'", "\\", "\\x41", "%d", "%%", "$HOME", "${HOME}", ";", "#", "é"]


def make_service(**fields: Any) -> Service:
    known: dict[str, Any] = {
        "name": "default",
        "python": Path(sys.executable),
        "arguments": ("--preset=nano",),
        "account": ACCOUNT,
        "stop_seconds": 95.0,
    }
    return Service(**known | fields)


def settings_of(text: str) -> dict[str, list[str]]:
    """Every setting of a unit, with the values of each line that sets it."""
    joined = text.replace("\\\n", "")
    found: dict[str, list[str]] = {}
    for line in joined.split("\n"):
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def read_words(text: str) -> list[str]:
    """Split and unquote by the rules of systemd.syntax(7), then resolve `%%`."""
    words = []
    position = 0
    while position < len(text):
        if text[position] == " ":
            position += 1
            continue
        mark = text[position] if text[position] in "\"'" else ""
        position += len(mark)
        word = ""
        while position < len(text) and text[position] != (mark or " "):
            if text[position] == "\\":
                position += 1
                assert text[position] in "\\\"'", "an escape that was not asked for"
            word += text[position]
            position += 1
        if mark:
            assert text[position] == mark, "a quotation without an end"
            position += 1
            assert text[position : position + 1] in {"", " "}, "text after a closing quote"
        words.append(word)
    for word in words:
        assert re.fullmatch(r"(%%|[^%])*", word, re.DOTALL), "a specifier that was not asked for"
    return [word.replace("%%", "%") for word in words]


class Dump(NamedTuple):
    """What systemd understood."""

    said: str
    argv: list[str]
    environment: list[str]


def read_by_systemd(text: str, *, user: bool = False) -> Dump:
    """Let systemd load a unit; at its debug level it prints what it understood."""
    assert ANALYZE is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "specserve-default.service"
        file.write_text(text, encoding="utf-8")
        arguments = [ANALYZE, *(["--user"] if user else []), "--man=no", "verify", str(file)]
        variables = os.environ | {"LC_ALL": "C.UTF-8", "XDG_RUNTIME_DIR": folder}
        quiet = subprocess.run(
            arguments, env=variables, capture_output=True, encoding="utf-8", check=False
        )
        loud = subprocess.run(
            arguments,
            env=variables | {"SYSTEMD_LOG_LEVEL": "debug"},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    (line,) = re.findall(r"^\s*Command Line: (.*)$", loud.stdout, re.MULTILINE)
    # Words are quoted where a shell would need it, with a backslash before what is special there.
    argv = [
        re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word
        for word in re.findall(r'"(?:[^"\\]|\\.)*"|[^ ]+', line)
    ]
    environment = re.findall(r"^\t+Environment: (.*)$", loud.stdout, re.MULTILINE)
    # It also says what it thinks of the other units of this machine.
    said = [line for line in quiet.stderr.splitlines() if "specserve" in line]
    assert (quiet.returncode == 0) or said, quiet.stderr
    return Dump("\n".join(said), argv, environment)


# ---- The text --------------------------------------------------------------------------------


def test_a_unit_runs_our_supervisor_and_lets_it_speak_for_the_server() -> None:
    found = settings_of(unit_text(make_service()))

    assert read_words(found["ExecStart"][0]) == [
        *(f":{sys.executable}", "-P", "-m", "launcher", "up", "--log-json", "--preset=nano"),
    ]
    expected = {
        "Type": "notify",
        "NotifyAccess": "main",
        "WatchdogSec": str(WATCHDOG_SECONDS),
        "TimeoutStopSec": "95",
        "KillMode": "mixed",
        "SendSIGKILL": "yes",
        "OOMPolicy": "continue",
        "Restart": "on-failure",
        "User": ACCOUNT,
        "StateDirectory": "specserve",
        "WantedBy": "multi-user.target",
    }
    assert {key: found[key] for key in expected} == {
        key: [value] for key, value in expected.items()
    }


def test_a_unit_of_a_user_asks_for_nothing_that_only_root_may() -> None:
    of_system = settings_of(unit_text(make_service()))
    of_user = settings_of(unit_text(make_service(account=None)))

    assert set(of_system) - set(of_user) == {
        *("Wants", "After", "User"),
        *("StateDirectory", "StateDirectoryMode", "CacheDirectory", "CacheDirectoryMode"),
        *("CapabilityBoundingSet", "PrivateTmp", "ProtectSystem", "ProtectHome"),
        *("ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs"),
        *("ProtectKernelModules", "ProtectKernelTunables"),
    }
    assert set(of_user) <= set(of_system)
    assert of_user["WantedBy"] == ["default.target"]
    assert not any("HOME" in line for line in of_user["Environment"])


def test_a_unit_forbids_nothing_that_the_engine_needs() -> None:
    found = settings_of(unit_text(make_service()))

    assert not found.keys() & {
        *("MemoryDenyWriteExecute", "PrivateDevices", "ProtectClock", "DeviceAllow"),
        *("PrivateIPC", "RemoveIPC", "PrivateUsers", "PrivateNetwork", "ProcSubset", "DynamicUser"),
    }
    # Of the groups that a server needs: NUMA binding, stack dumps of hung processes.
    assert "@resources" not in found["SystemCallFilter"][0]
    assert "@debug" not in found["SystemCallFilter"][0]
    assert found["RestrictAddressFamilies"][0].split() == [
        *("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK")
    ]


def test_only_what_may_mend_itself_is_started_again() -> None:
    prevented = set(prevented_exit_codes())
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, LauncherError)
    }

    assert codes - prevented == {
        1,
        PortInUseError.exit_code,
        errors.InsufficientMemoryError.exit_code,
        NoGpuError.exit_code,
        errors.SpawnError.exit_code,
        errors.HubUnreachableError.exit_code,
        errors.HubBusyError.exit_code,
    }
    # And wrong usage, which is no class of ours.
    assert prevented - codes == {2}
    written = settings_of(unit_text(make_service()))["RestartPreventExitStatus"][0]
    assert [int(code) for code in written.split()] == sorted(prevented)


def test_a_stop_during_the_start_is_no_failure() -> None:
    assert settings_of(unit_text(make_service()))["SuccessExitStatus"] == ["130"]


@pytest.mark.parametrize(("limit", "window"), [(5, 600.0), (5, 0.0), (50, 600.0), (1, 1.0)])
def test_the_limit_on_starts_is_reached_by_starts_that_fail_at_once(
    limit: int, window: float
) -> None:
    found = settings_of(unit_text(make_service(restart_limit=limit, restart_window_seconds=window)))

    assert found["StartLimitBurst"] == [str(limit)]
    # systemd counts those of the last interval only; zero would mean no limit.
    assert int(found["StartLimitIntervalSec"][0]) >= max(window, limit * RESTART_SECONDS + 1)


def test_a_server_that_is_never_restarted_is_not_by_systemd_either() -> None:
    found = settings_of(unit_text(make_service(restart=False)))

    assert found["Restart"] == ["no"]
    assert "RestartSec" not in found


@pytest.mark.parametrize(("seconds", "written"), [(95.2, "96"), (float("inf"), "infinity")])
def test_a_time_is_rounded_up(seconds: float, written: str) -> None:
    assert settings_of(unit_text(make_service(stop_seconds=seconds)))["TimeoutStopSec"] == [written]


def test_a_key_comes_through_systemd_and_its_name_alone_is_in_the_command() -> None:
    found = settings_of(
        unit_text(make_service(credentials={"api-key": Path("/etc/keys/100% of \\ mine")}))
    )

    assert found["LoadCredential"] == ["api-key:/etc/keys/100%% of \\ mine"]
    assert "--api-key-file=%d/api-key" in found["ExecStart"][0].split()


def test_folders_to_write_in_and_mounts_to_wait_for_are_listed() -> None:
    found = settings_of(
        unit_text(make_service(writable=(Path("/data/h f"),), needed=(Path("/a"), Path("/50%"))))
    )

    assert found["ReadWritePaths"] == ['"-/data/h f"']
    assert found["RequiresMountsFor"] == ["/a /50%%"]


# ---- What systemd reads ----------------------------------------------------------------------


@given(st.lists(WORDS, max_size=8))
@example(ODD_WORDS)
def test_every_word_is_read_back_as_it_was(words: list[str]) -> None:
    assert read_words(" ".join(map(quote, words))) == words
    read = read_words(settings_of(unit_text(make_service(arguments=tuple(words))))["ExecStart"][0])
    assert read[6:] == words


@pytest.mark.parametrize("word", ["a\nb", "\r", "\t", "\0", "\x1b[0m", "\x7f", "\ud800", "\ufffe"])
def test_what_a_unit_cannot_hold_is_refused(word: str) -> None:
    for fields in (
        {"arguments": (word,)},
        {"environment": {"HF_HOME": word}},
        {"credentials": {"api-key": Path(f"/{word}")}},
        {"needed": (Path(f"/{word}"),)},
    ):
        with pytest.raises(ConfigError, match="cannot hold"):
            unit_text(make_service(**fields))


@pytest.mark.parametrize("path", ['/a"b', "/a\\b"])
def test_a_path_that_no_list_can_hold_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="list of paths"):
        unit_text(make_service(needed=(Path(path),)))


@needs_systemd
@settings(max_examples=30)  # each starts systemd's reader twice
@given(st.lists(WORDS, max_size=20), WORDS)
@example(ODD_WORDS, "100% $HOME \\x41 \"quoted\" 'too'")
def test_systemd_reads_every_word_back_as_it_was(words: list[str], value: str) -> None:
    text = unit_text(
        make_service(arguments=tuple(words), environment={"HF_HOME": value}, writable=())
    )

    dump = read_by_systemd(text)

    assert dump.said == ""
    assert dump.argv[0] == sys.executable
    assert dump.argv[6:] == words
    assert f"HF_HOME={value}" in dump.environment


@needs_systemd
@pytest.mark.parametrize("account", [ACCOUNT, None])
def test_systemd_finds_nothing_wrong_with_a_whole_unit(tmp_path: Path, account: str | None) -> None:
    text = unit_text(
        make_service(
            account=account,
            restart=account is not None,
            credentials={"api-key": tmp_path / "a key", "admin-key": tmp_path / "100%"},
            environment={"HF_HOME": "/data/h f"},
            writable=(Path("/data/h f"),),
            needed=(Path("/data/h f"), Path("/50%")),
        )
    )

    dump = read_by_systemd(text, user=account is None)

    assert dump.said == ""
    key_arguments = [word for word in dump.argv if "-key-file=" in word]
    assert [word.partition("=")[0] for word in key_arguments] == [
        *("--api-key-file", "--admin-key-file")
    ]
    assert all(
        re.fullmatch(r".*/credentials/specserve-default\.service/(api|admin)-key", word)
        for word in key_arguments
    )


@needs_systemd
def test_the_check_by_systemd_can_fail() -> None:
    dump = read_by_systemd(unit_text(make_service()).replace("OOMPolicy=", "OOMPolicie="))

    assert "OOMPolicie" in dump.said


@needs_systemd
def test_systemd_calls_the_exposure_of_a_unit_of_the_system_ok(tmp_path: Path) -> None:
    assert ANALYZE is not None
    file = tmp_path / "specserve-default.service"
    file.write_text(unit_text(make_service()))

    done = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--no-pager", str(file)],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert score is not None
    # docs/service.md says 2.6, as systemd 252 counts.
    assert float(score[1]) <= 4.0


# ---- The command -----------------------------------------------------------------------------


class Done(NamedTuple):
    """How the command ended."""

    out: str
    err: str
    error: BaseException | None


@pytest.fixture(autouse=True)
def _plain_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU, and none of the variables that matter."""
    laptop = hardware.Hardware((), "no driver", hardware.usable_cpus(), 16 * hardware.GIB)
    monkeypatch.setattr("launcher.cli.service.command.probe_hardware", lambda: laptop)
    for variable in list(os.environ):
        if variable.startswith(("CUDA_", "HF_", "NCCL_", "SGLANG_", "TORCH_", "LAUNCHER_")):
            monkeypatch.delenv(variable)


def run(*arguments: str) -> Done:
    done = CliRunner().invoke(command, list(arguments))
    error = None if isinstance(done.exception, SystemExit) else done.exception
    return Done(done.stdout, done.stderr, error)


def arguments_of(text: str) -> list[str]:
    """What the unit gives to `up`."""
    return read_words(settings_of(text)["ExecStart"][0].replace("%d/", "/credentials/"))[6:]


def key_file(folder: Path) -> Path:
    file = folder / "key"
    file.write_text(SECRET)
    file.chmod(0o600)
    return file


def test_the_flags_that_were_given_are_in_the_unit_and_no_others() -> None:
    done = run(
        *("--user", "--name", "air", "--preset", "glm-4.5-air-fp8", "--port", "8001"),
        *("--no-enable-metrics", "--random-seed", "0", "--tool-call-parser", ""),
        *("--environment", "NCCL_DEBUG=INFO", "--environment", "A=b c"),
        *("--", "--log-level", "debug"),
    )

    assert done.error is None
    assert arguments_of(done.out) == [
        *("--preset=glm-4.5-air-fp8", "--name=air", "--port=8001", "--tool-call-parser="),
        *("--no-enable-metrics", "--random-seed=0"),
        *("--environment=NCCL_DEBUG=INFO", "--environment=A=b c", "--", "--log-level", "debug"),
    ]


def test_what_the_look_at_this_machine_chose_is_kept_and_said(tmp_path: Path) -> None:
    done = run("--user")
    assert arguments_of(done.out) == ["--preset=nano"]
    assert "Note: preset nano is written into the unit: no NVIDIA GPU was found" in done.err

    own_model = run("--user", "--model-path", str(tmp_path))
    assert arguments_of(own_model.out) == [
        *("--preset=custom", "--device=cpu", f"--model-path={tmp_path}"),
    ]


def test_paths_are_whole_and_repositories_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key_file(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "c.yaml").write_text("port: 8001\n")

    done = run(
        *("--user", "--config", "c.yaml", "--model-path", "model", "--api-key-file", "key"),
        *("--speculative-draft-model-path", "org/draft"),
    )

    assert done.error is None
    assert {
        f"--config={tmp_path}/c.yaml",
        f"--model-path={tmp_path}/model",
        f"--api-key-file={tmp_path}/key",
        "--speculative-draft-model-path=org/draft",
    } <= set(arguments_of(done.out))
    mounts = settings_of(done.out)["RequiresMountsFor"][0].split()
    assert {f"{tmp_path}/{name}" for name in ("c.yaml", "model", "key")} < set(mounts)


def test_the_command_of_a_unit_means_the_same_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("port: 8001\nname: other\n")
    given = ["--preset", "nano", "--config", "c.yaml", "--served-model-name", "a 'b' \"c\" $d %e"]
    text = run("--user", *given, "--", "--log-level", "debug").out
    read = read_words(settings_of(text)["ExecStart"][0].removeprefix(":"))

    def dry_run(argv: list[str], cwd: str) -> Any:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, encoding="utf-8", check=True)
        return json.loads(done.stdout)["argv"]

    of_unit = dry_run([*read[:5], "--dry-run", "--json", *read[5:]], "/")

    up = [sys.executable, "-m", "launcher", "up", "--dry-run", "--json", *given]
    assert of_unit == dry_run([*up, "--", "--log-level", "debug"], str(tmp_path))


def test_a_path_in_a_config_file_that_means_something_else_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    file = tmp_path / "c.yaml"
    for moving in ("model", "./model", "~/model"):
        file.write_text(f"model-path: {moving}\n")
        error = run("--user", "--config", "c.yaml").error
        assert isinstance(error, ConfigError)
        assert "model_path in c.yaml is relative" in error.problem
        assert str(tmp_path / "model") in error.action
    file.write_text("api_key_file: key\n")
    assert isinstance(run("--user", "--config", "c.yaml").error, ConfigError)

    for fine in (tmp_path / "model", "org/model"):
        file.write_text(f"model_path: {fine}\n")
        assert run("--user", "--config", "c.yaml").error is None


def test_a_variable_that_the_service_would_not_see_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPECSERVE_PORT", "8001")

    error = run("--user").error

    assert isinstance(error, ConfigError)
    assert "SPECSERVE_PORT" in error.problem
    assert "--port" in error.action


def test_places_are_repeated_in_the_unit_and_the_rest_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Importing the engine, as other tests do, sets some.
    for name in [name for name in os.environ if name.startswith(TELLING_PREFIXES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", "/data/h f")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("LAUNCHER_API_KEY", SECRET)

    for arguments in (["--user"], ["--run-as", ACCOUNT]):
        done = run(*arguments)
        assert "HF_HOME=/data/h f" in [
            word
            for line in settings_of(done.out)["Environment"]
            for word in read_words(line.replace("%", "%%"))
        ]
        assert "not in the unit, since values may be secret: HF_TOKEN." in done.err
        assert "LAUNCHER_API_KEY is set here" in done.err
        assert SECRET not in done.out + done.err
    assert settings_of(done.out)["ReadWritePaths"] == ['"-/data/h f"']


def test_no_secret_comes_into_the_unit(tmp_path: Path) -> None:
    file = key_file(tmp_path)

    done = run("--run-as", ACCOUNT, "--api-key-file", str(file))
    assert done.error is None
    assert arguments_of(done.out)[0] == "--api-key-file=/credentials/api-key"
    assert settings_of(done.out)["LoadCredential"] == [f"api-key:{file}"]
    assert SECRET not in done.out + done.err

    # The same by a config file: the flag, which is stronger, points at systemd's copy.
    (tmp_path / "c.yaml").write_text(f"admin_key_file: {file}\n")
    done = run("--run-as", ACCOUNT, "--config", str(tmp_path / "c.yaml"))
    assert arguments_of(done.out)[0] == "--admin-key-file=/credentials/admin-key"

    refused = run("--user", "--", "--api-key", SECRET)
    assert isinstance(refused.error, SecretInArgumentsError)
    assert SECRET not in refused.out + refused.err


def test_a_user_s_own_service_reads_the_key_where_it_lies(tmp_path: Path) -> None:
    done = run("--user", "--api-key-file", str(key_file(tmp_path)))

    assert f"--api-key-file={tmp_path}/key" in arguments_of(done.out)
    assert "LoadCredential" not in settings_of(done.out)


def test_the_times_and_limits_are_those_of_the_configuration() -> None:
    done = run(
        *("--user", "--drain-timeout-seconds", "100", "--stop-timeout-seconds", "20.5"),
        *("--restart-limit", "7", "--restart-window-seconds", "1000"),
    )
    found = settings_of(done.out)

    assert float(found["TimeoutStopSec"][0]) >= 120.5 + SUPERVISOR_MARGIN_SECONDS
    assert found["StartLimitBurst"] == ["7"]
    assert found["StartLimitIntervalSec"] == ["1000"]
    assert settings_of(run("--user", "--restart", "never").out)["Restart"] == ["no"]


def test_what_up_refuses_is_refused() -> None:
    assert isinstance(run("--user", "--port", "http").error, InvalidValueError)
    assert isinstance(run("--user", "--", "--tree-top", "1").error, errors.UnknownFlagError)
    assert isinstance(run("--user", "--preset", "nanoo").error, errors.UnknownPresetError)


def test_the_next_commands_are_said_beside_the_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    of_user = run("--user", "--name", "air")
    assert f"Save it as {tmp_path}/config/systemd/user/specserve-air.service" in of_user.err
    assert [line.strip() for line in of_user.err.splitlines()[-3:]] == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now specserve-air.service",
        "loginctl enable-linger",
    ]

    of_system = run("--run-as", ACCOUNT, "--output", str(tmp_path / "air unit"))
    place = "/etc/systemd/system/specserve-default.service"
    assert of_system.out == ""
    assert [line.strip() for line in of_system.err.splitlines()[-3:]] == [
        f"sudo install -D -m 0644 '{tmp_path}/air unit' {place}",
        "sudo systemctl daemon-reload",
        "sudo systemctl enable --now specserve-default.service",
    ]


def test_a_file_is_written_whole_and_one_in_its_place_is_not_installed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "systemd" / "user"
    folder.mkdir(parents=True)
    file = folder / "specserve-default.service"

    done = run("--user", "--output", str(file))

    assert file.read_text() == run("--user").out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(folder.iterdir()) == [file]
    assert "install" not in done.err


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    error = run("--user", "--output", str(tmp_path / "missing" / "file")).error

    assert isinstance(error, StateError)
    assert "cannot be written: No such file" in error.problem
    assert "--output" in error.action


def test_a_program_gets_everything_as_json() -> None:
    done = run("--user", "--json")
    answer = json.loads(done.out)

    assert answer["name"] == "specserve-default.service"
    assert answer["unit"] == run("--user").out
    assert "systemctl --user daemon-reload" in answer["commands"]
    assert answer["notes"]
    assert done.err == ""


def test_the_account_is_the_caller_s_unless_another_is_named() -> None:
    assert settings_of(run("--run-as", ACCOUNT).out)["User"] == [ACCOUNT]
    assert isinstance(run("--run-as", "no-such-account").error, InvalidValueError)
    assert "--run-as is for a unit of the system" in run("--user", "--run-as", ACCOUNT).err

    caller = run()
    if os.getuid() == 0:
        assert isinstance(caller.error, InvalidValueError)
        assert "would run as root" in caller.error.problem
    else:
        assert settings_of(caller.out)["User"] == [pwd.getpwuid(os.getuid()).pw_name]


def test_a_person_s_account_is_warned_of_logind() -> None:
    people = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid >= 1000]
    assert "logind" not in run("--run-as", ACCOUNT).err
    done = run("--run-as", people[0])
    assert f"loginctl enable-linger {people[0]}" in done.err
