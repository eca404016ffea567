"""Downloads from a hub on loopback, by the real client."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download

from launcher import errors
from launcher.models import store
from launcher.models.download import fetch, hub, pull, retries
from launcher.models.download.events import (
    FileVerified,
    FileWrong,
    PullEvent,
    PullFinished,
    PullProgress,
    PullRetries,
    PullWaits,
)
from launcher.models.download.hub import Hub
from launcher.models.download.request import PullRequest
from launcher.models.download.verify import verify
from launcher.models.hashes import memory_file
from launcher.models.places import CachePlace, locked
from launcher.models.store import find_in_cache, list_models, read_record
from launcher.system.hardware import MIB
from tests.unit.launcher.models.hub_models import NEEDED, model_files, safetensors
from tests.unit.launcher.models.hub_server import Fault, HubServer, running_hub

MODEL = "owner/model"
SHARD = "model-00002-of-00003.safetensors"
COMMIT = "a" * 40
TOKEN = "hf_swordfish0123456789"  # noqa: S105  # planted, to be looked for


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return model_files()


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[HubServer]:
    with running_hub() as running:
        running.add(MODEL, files)
        yield running


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.01)
    return tmp_path / "hub"


class Pulls:
    """Pulls from one server, and what was told meanwhile."""

    def __init__(self, server: HubServer) -> None:
        self.server = server
        self.events: list[PullEvent] = []

    def __call__(
        self, repository: str = MODEL, revision: str | None = None, target: Path | None = None
    ) -> store.ModelRecord:
        request = PullRequest(repository, revision, target)
        return pull.pull(request, Hub(self.server.endpoint), self.events.append)

    def verify(self, *, offline: bool = False, target: Path | None = None) -> None:
        asked = None if offline else Hub(self.server.endpoint)
        verify(PullRequest(MODEL, None, target), asked, self.events.append)

    def of(self, kind: type[PullEvent]) -> list[PullEvent]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def pulls(server: HubServer) -> Pulls:
    return Pulls(server)


def needed_bytes(files: dict[str, bytes]) -> int:
    """What has to come: files of the same content are one in the hub's cache."""
    return sum(map(len, {files[name] for name in NEEDED}))


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if not file.name.startswith(".")}


def flip_a_byte(file: Path) -> None:
    """As a disk does it: neither size nor time change."""
    before = file.stat()
    with file.open("r+b") as content:
        content.seek(before.st_size // 2)
        byte = content.read(1)[0]
        content.seek(-1, os.SEEK_CUR)
        content.write(bytes([byte ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_serving_needs_is_fetched_and_nothing_else(
    pulls: Pulls, files: dict[str, bytes]
) -> None:
    record = pulls()
    assert names_in(record.folder) == NEEDED
    for name in NEEDED:
        assert (record.folder / name).read_bytes() == files[name]
    assert pulls.server.total_sent_bytes() == needed_bytes(files)
    assert (record.commit, record.revision) == (COMMIT, "main")
    assert read_record(record.folder) == record


def test_the_hub_s_own_client_finds_the_model_and_asks_for_nothing(pulls: Pulls) -> None:
    record = pulls()
    found = snapshot_download(MODEL, cache_dir=store.hub_cache(), local_files_only=True)
    assert Path(found) == record.folder
    (repository,) = scan_cache_dir(store.hub_cache()).repos
    assert repository.repo_id == MODEL
    assert {revision.commit_hash for revision in repository.revisions} == {COMMIT}


def test_nothing_outside_the_target_and_our_own_state_is_touched(
    pulls: Pulls, tmp_path: Path
) -> None:
    pulls(target=tmp_path / "here")
    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert written == {"here", "xdg_state_home"}
    assert names_in(tmp_path / "here") == NEEDED


def test_a_second_pull_fetches_no_byte_and_reads_no_file(
    pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulls()
    before = pulls.server.total_sent_bytes()
    monkeypatch.setattr(
        "launcher.models.download.request.hash_all",
        lambda _, files: pytest.fail("read") if files else [],
    )
    pulls()
    assert pulls.server.total_sent_bytes() == before


@pytest.mark.parametrize("target", [None, "here"])
@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_flipped_byte_in_any_file_is_found_and_that_file_alone_fetched_again(
    pulls: Pulls, files: dict[str, bytes], tmp_path: Path, name: str, target: str | None
) -> None:
    folder = tmp_path / target if target else None
    record = pulls(target=folder)
    same = [other for other in NEEDED if files[other] == files[name]]
    flip_a_byte((record.folder / name).resolve())
    pulls.server.sent_bytes.clear()

    with pytest.raises(errors.ModelIncompleteError, match="missing or are not what") as caught:
        pulls.verify(target=folder)
    assert any(name in line for line in caught.value.evidence)
    pulls(target=folder)

    assert sum(pulls.server.sent_bytes.values()) == len(files[name])
    assert set(pulls.server.sent_bytes) <= set(same)
    assert (record.folder / name).read_bytes() == files[name]
    assert not list((folder or store.hub_cache()).rglob("*.corrupt"))
    pulls.verify(target=folder)


def test_a_file_that_came_wrong_is_fetched_again(pulls: Pulls, files: dict[str, bytes]) -> None:
    pulls.server.faults[SHARD].append(Fault(flip_byte=1234))
    record = pulls()
    assert (record.folder / SHARD).read_bytes() == files[SHARD]
    (wrong,) = pulls.of(FileWrong)
    assert isinstance(wrong, FileWrong)
    assert wrong.path == SHARD


def test_a_file_that_keeps_coming_wrong_is_told(pulls: Pulls) -> None:
    pulls.server.faults[SHARD] += [Fault(flip_byte=1234)] * fetch.CONTENT_ATTEMPTS
    with pytest.raises(errors.ModelIncompleteError, match="3 times with another content"):
        pulls()


def test_a_connection_that_is_cut_goes_on_where_it_was(
    pulls: Pulls, files: dict[str, bytes]
) -> None:
    pulls.server.faults[SHARD] += [Fault(after_bytes=100_000), Fault(after_bytes=100_000)]
    record = pulls()
    assert (record.folder / SHARD).read_bytes() == files[SHARD]
    # The kernel may throw away what had arrived when the end came by a reset.
    assert pulls.server.sent_bytes[SHARD] <= 1.3 * len(files[SHARD])


def test_a_server_that_knows_no_ranges_sends_the_file_anew(
    pulls: Pulls, files: dict[str, bytes]
) -> None:
    pulls.server.ignores_ranges = True
    pulls.server.faults[SHARD].append(Fault(after_bytes=200_000))
    record = pulls()
    assert (record.folder / SHARD).read_bytes() == files[SHARD]
    last = pulls.of(PullProgress)[-1]
    assert isinstance(last, PullProgress)
    assert last.done_bytes == last.total_bytes


def test_a_part_that_is_longer_than_the_file_is_thrown_away(
    pulls: Pulls, files: dict[str, bytes]
) -> None:
    record = pulls()
    manifest = record.manifest
    file = manifest.find(SHARD)
    assert file is not None
    place = CachePlace(store.hub_cache(), MODEL)
    place.stored(file).unlink()
    place.partial(file).write_bytes(b"x" * (file.size_bytes + 1))
    pulls()
    assert (record.folder / SHARD).read_bytes() == files[SHARD]


@pytest.mark.parametrize("where", ["api", "config.json", SHARD])
def test_errors_of_the_hub_and_too_many_requests_are_tried_again(pulls: Pulls, where: str) -> None:
    pulls.server.faults[where] += [
        Fault(status=500),
        Fault(status=503),
        Fault(status=429, headers={"Retry-After": "0"}),
    ]
    pulls()
    assert len(pulls.of(PullRetries)) == 3


def test_the_pause_that_the_hub_asks_for_is_kept(pulls: Pulls) -> None:
    pulls.server.faults["api"].append(
        Fault(status=429, headers={"ratelimit": '"api";r=0;t=1', "Retry-After": "0"})
    )
    pulls()
    (retry,) = pulls.of(PullRetries)
    assert isinstance(retry, PullRetries)
    assert retry.pause_seconds == 1.0


def test_a_pause_of_an_hour_is_not_waited_for(pulls: Pulls) -> None:
    pulls.server.faults[SHARD].append(Fault(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(errors.HubBusyError, match="too many requests") as caught:
        pulls()
    assert "1 h 00 min" in caught.value.action


@pytest.mark.parametrize("where", ["api", SHARD])
def test_a_hub_that_answers_errors_only_is_given_up(pulls: Pulls, where: str) -> None:
    pulls.server.faults[where] += [Fault(status=502)] * retries.MOST_FAILURES
    with pytest.raises(errors.HubUnreachableError, match="after 6 attempts"):
        pulls()


def test_a_hub_that_is_not_there_is_told_by_its_address(
    monkeypatch: pytest.MonkeyPatch, pulls: Pulls
) -> None:
    monkeypatch.setattr(pulls.server, "endpoint", "http://user:secret@127.0.0.1:9")
    with pytest.raises(errors.HubUnreachableError, match=r"http://127\.0\.0\.1:9 cannot") as caught:
        pulls()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "case",
    [
        ("owner/none", None, errors.UnknownRepositoryError),
        (MODEL, "no-such-branch", errors.UnknownRevisionError),
        (MODEL, "../../etc", errors.InvalidValueError),
        ("not a name", None, errors.InvalidValueError),
        ("owner/pickles", None, errors.NoSafetensorsError),
        ("owner/gated", None, errors.GatedRepositoryError),
        ("owner/hollow", None, errors.ModelIncompleteError),
    ],
)
@pytest.mark.parametrize("token", [None, TOKEN])
def test_what_cannot_be_had_has_an_error_of_its_own(
    pulls: Pulls,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, str | None, type[errors.LauncherError]],
    token: str | None,
) -> None:
    repository, revision, error = case
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
        pulls.server.token = token
    files = model_files(shards=1, shard_bytes=1000)
    gated_for_all = repository == "owner/gated"
    pulls.server.add("owner/gated", files, gated=gated_for_all)
    if token is not None and gated_for_all:
        # This token's owner has not accepted the terms.
        monkeypatch.setenv("HF_TOKEN", "hf_another")
        pulls.server.token = None
    pulls.server.add("owner/pickles", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    hollow = {name: files[name] for name in files if not name.startswith("model-00001")}
    pulls.server.add("owner/hollow", hollow)
    with pytest.raises(error) as caught:
        pulls(repository, revision)
    assert type(caught.value) is error
    assert caught.value.action


def test_a_token_that_is_refused_is_told(pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    pulls.server.token = TOKEN
    with pytest.raises(errors.HubTokenError, match="refuses the token"):
        pulls()


def test_a_gated_repository_is_given_to_its_token_which_goes_nowhere_else(
    pulls: Pulls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pulls.server.token = TOKEN
    pulls.server.add("owner/gated", model_files(), gated=True)
    # The CDN of this hub answers 400 to whoever shows it a token.
    pulls("owner/gated")
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert TOKEN.encode() not in file.read_bytes()
    assert TOKEN not in "".join(event.to_json() for event in pulls.events)


def test_a_repository_that_does_not_exist_leaves_nothing_behind(
    pulls: Pulls, tmp_path: Path
) -> None:
    with pytest.raises(errors.UnknownRepositoryError):
        pulls("owner/none", target=tmp_path / "here")
    assert list(tmp_path.rglob("*")) == []


def test_a_download_that_does_not_fit_is_refused_before_it_begins(
    pulls: Pulls, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "free_disk_bytes", lambda _: 512 * MIB + 500_000)
    with pytest.raises(errors.InsufficientDiskError, match="512.0 MiB are to stay free") as caught:
        pulls()
    assert "512.5 MiB free" in str(caught.value)
    assert pulls.server.total_sent_bytes() == len(files["model.safetensors.index.json"])


def test_what_came_before_need_not_fit_again(
    pulls: Pulls, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = pulls()
    place = CachePlace(store.hub_cache(), MODEL)
    file = record.manifest.find(SHARD)
    assert file is not None
    place.stored(file).unlink()
    place.partial(file).write_bytes(files[SHARD][:-10])
    monkeypatch.setattr(pull, "free_disk_bytes", lambda _: 512 * MIB + 10)
    pulls.server.sent_bytes.clear()
    pulls()
    assert pulls.server.sent_bytes == {SHARD: 10}


def test_a_disk_that_becomes_full_is_told_and_what_came_stays(
    pulls: Pulls, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = fetch._Sink.write

    def full(sink: fetch._Sink, block: bytes) -> int:
        if sink.tell() >= 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(sink, block)

    with monkeypatch.context() as patch:
        patch.setattr(fetch._Sink, "write", full)
        with pytest.raises(errors.InsufficientDiskError, match="became full"):
            pulls()
    before = pulls.server.sent_bytes.copy()
    pulls()
    assert sum(before.values()) > 0
    for name in NEEDED:
        # What the full disk refused was sent, and is sent again.
        assert pulls.server.sent_bytes[name] <= len(files[name]) + 8 * hub.CHUNK_BYTES


def test_a_branch_that_moved_is_followed_by_pull_and_not_by_up(
    pulls: Pulls, files: dict[str, bytes]
) -> None:
    pulls()
    newer = pulls.server.add(MODEL, {**files, "config.json": b'{"new": 1}'}, commit="b" * 40)
    request = PullRequest(MODEL)
    served = pull.ensure_model(request, Hub(pulls.server.endpoint), print, by_hash=True)
    assert served.commit == COMMIT
    pulls.server.sent_bytes.clear()

    assert pulls().commit == newer

    # Of the new commit only what is new.
    assert set(pulls.server.sent_bytes) == {"config.json"}
    assert {model.commit: model.names for model in list_models()} == {
        COMMIT: (),
        newer: ("main",),
    }


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/3", "b" * 40])
def test_a_tag_and_a_commit_are_resolved_and_recorded(
    pulls: Pulls, files: dict[str, bytes], revision: str
) -> None:
    pulls.server.add(MODEL, files, commit="b" * 40, refs=("v1.0", "refs/pr/3"))
    record = pulls(revision=revision)
    assert (record.revision, record.commit) == (revision, "b" * 40)
    found = find_in_cache(MODEL, revision)
    assert found is not None
    assert found.missing is None


def test_a_folder_that_moves_to_another_commit_loses_the_files_of_the_first(
    pulls: Pulls, files: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    pulls(target=folder)
    (folder / "notes.txt").write_text("mine")
    one = {name: files[name] for name in ("config.json", "tokenizer.json")}
    pulls.server.add(MODEL, {**one, "model.safetensors": safetensors(500)}, commit="b" * 40)
    pulls(target=folder)
    assert names_in(folder) == {*one, "model.safetensors", "notes.txt"}


def test_a_folder_with_something_else_in_it_is_refused(pulls: Pulls, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(errors.InvalidValueError, match="something else"):
        pulls(target=tmp_path)


def test_weights_that_glm_s_index_forgets_are_fetched(pulls: Pulls) -> None:
    pulls.server.add("owner/mtp", {**model_files(), "mtp.safetensors": safetensors(100)})
    assert "mtp.safetensors" in names_in(pulls("owner/mtp").folder)


def test_offline_what_is_here_is_verified_and_what_is_not_is_told(
    pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.ModelNotFoundError):
        pulls.verify(offline=True)
    record = pulls()
    pulls.server.close()
    pulls.verify(offline=True)
    # Without the record, too: the cache names files by their hash.
    store.forget_record(record.folder)
    pulls.verify(offline=True)
    flip_a_byte((record.folder / SHARD).resolve())
    with pytest.raises(errors.ModelIncompleteError) as caught:
        pulls.verify(offline=True)
    assert SHARD in caught.value.evidence[0]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(errors.ModelIncompleteError):
        pull.ensure_model(PullRequest(MODEL), Hub(), print, by_hash=True)


def test_a_folder_that_holds_another_model_or_commit_is_not_the_one_that_is_asked_for(
    pulls: Pulls, files: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    pulls(target=folder)
    pulls.verify(offline=True, target=folder)
    pulls.server.add(MODEL, files, commit="b" * 40)
    with pytest.raises(errors.ModelNotFoundError):
        pulls.verify(target=folder)
    for request in (PullRequest("owner/other", None, folder), PullRequest(MODEL, "v2", folder)):
        with pytest.raises(errors.ModelNotFoundError):
            verify(request, None, pulls.events.append)


def test_verification_reads_again_what_was_right_and_changes_nothing(pulls: Pulls) -> None:
    record = pulls()
    flip_a_byte((record.folder / SHARD).resolve())
    # Size and time are the old ones: a pull trusts them, and says so in the documentation.
    pulls()
    before = {file: file.stat().st_mtime_ns for file in store.hub_cache().rglob("*")}
    with pytest.raises(errors.ModelIncompleteError):
        pulls.verify()
    assert before == {file: file.stat().st_mtime_ns for file in store.hub_cache().rglob("*")}


def test_a_missing_shard_is_named(pulls: Pulls) -> None:
    record = pulls()
    (record.folder / SHARD).unlink()
    (model,) = list_models()
    assert model.missing is not None
    assert SHARD in model.missing
    with pytest.raises(errors.ModelIncompleteError) as caught:
        pulls.verify()
    assert caught.value.evidence == (f"{SHARD} is missing",)


def test_two_pulls_at_once_fetch_each_byte_once(pulls: Pulls, files: dict[str, bytes]) -> None:
    pulls.server.bytes_per_second = 2_000_000
    other = Pulls(pulls.server)
    first = threading.Thread(target=pulls)
    first.start()
    other()
    first.join()
    needed = needed_bytes(files)
    assert pulls.server.total_sent_bytes() == needed


def test_the_second_pull_says_for_whom_it_waits(pulls: Pulls) -> None:
    place = CachePlace(store.hub_cache(), MODEL)
    begun = threading.Event()
    pulls.events = Telling(begun)
    with locked(place, MODEL):
        waiting = threading.Thread(target=pulls)
        waiting.start()
        assert begun.wait(30)
    waiting.join()
    assert pulls.events[0] == PullWaits(pid=os.getpid(), at=pulls.events[0].at)
    assert isinstance(pulls.events[-1], PullFinished)


class Telling(list[PullEvent]):
    """A list that tells of its first entry."""

    def __init__(self, begun: threading.Event) -> None:
        super().__init__()
        self._begun = begun

    def append(self, event: PullEvent) -> None:
        super().append(event)
        self._begun.set()


def test_a_corrupt_model_is_mended_when_it_is_to_be_served(
    pulls: Pulls, files: dict[str, bytes]
) -> None:
    record = pulls()
    memory_file().unlink()
    flip_a_byte((record.folder / SHARD).resolve())
    pulls.server.sent_bytes.clear()
    asked = Hub(pulls.server.endpoint)
    model = pull.ensure_model(PullRequest(MODEL), asked, print, by_hash=True)
    assert (model.folder / SHARD).read_bytes() == files[SHARD]
    assert set(pulls.server.sent_bytes) == {SHARD}


def test_a_model_that_is_here_needs_no_hub_to_be_served(pulls: Pulls) -> None:
    record = pulls()
    before = len(pulls.server.requests)
    asked = Hub(pulls.server.endpoint)
    assert pull.ensure_model(PullRequest(MODEL), asked, print, by_hash=True).folder == record.folder
    assert len(pulls.server.requests) == before


def test_progress_ends_at_all_and_every_file_is_told_once(pulls: Pulls) -> None:
    pulls()
    last = pulls.of(PullProgress)[-1]
    assert isinstance(last, PullProgress)
    assert last.done_bytes == last.total_bytes
    told = [event.path for event in pulls.of(FileVerified) if isinstance(event, FileVerified)]
    assert len(told) == len(set(told))


def test_a_cache_that_cannot_be_written_is_told(
    pulls: Pulls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(errors.StateError, match="cannot be written"):
        pulls()
