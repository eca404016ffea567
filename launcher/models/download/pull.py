"""A repository and a revision become a verified model folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from launcher.errors import HubAnswerError, InsufficientDiskError, ModelIncompleteError
from launcher.models.download.events import (
    PullEvent,
    PullFinished,
    PullProgress,
    PullResolved,
    PullWaits,
)
from launcher.models.download.fetch import Fetcher
from launcher.models.download.hub import Hub
from launcher.models.download.request import (
    OnPullEvent,
    PullRequest,
    find_wrong,
    list_files,
    not_here,
)
from launcher.models.files import Manifest, RemoteFile, choose_files
from launcher.models.folder import INDEX_NAME, LARGEST_JSON_BYTES, check_weights
from launcher.models.hashes import VerifiedFiles, aside, blobs_of, check_hashes, memory_file
from launcher.models.places import Place, cannot_write, check_revision, locked
from launcher.models.store import (
    LocalModel,
    ModelRecord,
    find_in_cache,
    is_offline,
    read_record,
    write_record,
)
from launcher.system.files import file_size_bytes
from launcher.system.hardware import MIB, free_disk_bytes
from launcher.text import human_bytes

# What is to stay free: other programs write to that disk, too, and a full one hurts them all.
MARGIN_SHARE: Final = 0.02
LEAST_MARGIN_BYTES: Final = 512 * MIB
_WAIT_SECONDS: Final = 0.5


def pull(request: PullRequest, hub: Hub, report: OnPullEvent) -> ModelRecord:
    """Bring a model here, or what is missing of it, and verify each file.

    What was found right before and was not written to since is not read again. A file that is
    wrong is set aside, fetched again, and removed when the right one is here.

    Raises:
        LauncherError: it cannot be had, or does not fit. What came stays for the next time.
    """
    began = time.monotonic()
    if request.revision is not None:
        check_revision(request.revision)
    place = request.place()
    # First: a repository that does not exist leaves nothing behind.
    listing = list_files(request, hub, report)
    with locked(place, request.repository, wait=_waiter(report)):
        verified = VerifiedFiles(memory_file())
        try:
            manifest, fetched = _choose(hub, place, listing, verified, report)
            report(_resolved(manifest, hub, place))
            missing = _survey(place, manifest, verified, report)
            _check_disk(place, manifest.repository, missing)
            fetcher = Fetcher(hub, place, manifest, verified, report, threads=request.threads)
            fetched += fetcher.fetch(missing)
            for file in manifest.files:
                place.show(manifest.commit, file)
            check_weights(place.folder(manifest.commit))
            place.finish(manifest.revision, manifest.commit)
            record = _record(request, hub, place, manifest)
            _remove_former(record)
        except BrokenPipeError:
            raise  # whoever was told of it has gone
        except OSError as error:
            raise cannot_write(place.root, error) from error
        finally:
            verified.save()
        write_record(record)
    report(_finished(record, fetched_bytes=fetched, began=began))
    return record


def ensure_model(
    request: PullRequest, hub: Hub, report: OnPullEvent, *, by_hash: bool
) -> LocalModel:
    """The model folder to serve, downloaded where it is not here, or not whole.

    A model that is here is taken as it is, without asking the hub whether a branch has moved: a
    server that starts again serves what it served before. `pull` moves it.

    Args:
        request: what to serve, from the hub's cache.
        hub: where to get it.
        report: told of each event of a download.
        by_hash: hash what is here, once.

    Raises:
        LauncherError: it is not here and cannot be had.
    """
    local = find_in_cache(request.repository, request.revision)
    if local is not None and local.missing is None:
        try:
            if by_hash:
                check_hashes(blobs_of(local.folder), memory_file())
        except ModelIncompleteError:
            if is_offline():
                raise
        else:
            return local
    if is_offline():
        raise not_here(request, local)
    record = pull(request, hub, report)
    found = find_in_cache(record.repository, record.commit)
    if found is None:
        raise not_here(request, found)
    return found


def _waiter(report: OnPullEvent) -> Callable[[int | None], None]:
    """Say once for whom we wait."""
    told: set[int | None] = set()

    def wait(pid: int | None) -> None:
        if pid not in told:
            told.add(pid)
            report(PullWaits(pid=pid))
        time.sleep(_WAIT_SECONDS)

    return wait


def _choose(
    hub: Hub, place: Place, listing: Manifest, verified: VerifiedFiles, report: OnPullEvent
) -> tuple[Manifest, int]:
    """What is needed; the shard index is fetched for that. Also how many bytes came."""
    index = listing.find(INDEX_NAME)
    if index is None:
        return replace(listing, files=choose_files(listing.files, None)), 0
    # Before anything is fetched: a repository without weights may have an index of pickles.
    choose_files(listing.files, None)
    if index.size_bytes > LARGEST_JSON_BYTES:
        raise HubAnswerError(
            f"{INDEX_NAME} has {human_bytes(index.size_bytes)} by the hub's list, and "
            f"{human_bytes(LARGEST_JSON_BYTES)} are read at most.",
            action="Choose another --revision, or tell the repository's owner.",
        )
    alone = replace(listing, files=(index,))
    missing = _survey(place, alone, verified, report)
    _check_disk(place, listing.repository, missing)

    def tell(event: PullEvent) -> None:
        if not isinstance(event, PullProgress):
            report(event)

    fetched = Fetcher(hub, place, alone, verified, tell, threads=1).fetch(missing)
    content = place.stored(index).read_bytes()
    return replace(listing, files=choose_files(listing.files, content)), fetched


def _survey(
    place: Place, manifest: Manifest, verified: VerifiedFiles, report: OnPullEvent
) -> list[RemoteFile]:
    """The files that are missing; those that are wrong are set aside and missing from then on."""
    missing = []
    unknown = []
    # In the hub's cache files of the same content are one.
    distinct = {place.stored(file): file for file in manifest.files}
    for stored, file in distinct.items():
        if not stored.is_file():
            missing.append(file)
        elif not verified.knows(stored, file.digest):
            unknown.append(file)
    for file, _ in find_wrong(unknown, verified, report, where=place.stored, known_as=place.stored):
        stored = place.stored(file)
        stored.replace(aside(stored))
        missing.append(file)
    return [file for file in manifest.files if file in missing]


def _check_disk(place: Place, repository: str, missing: Sequence[RemoteFile]) -> None:
    """Refuse what does not fit.

    Formula: bytes missing + max(512 MiB, 2 % of them) <= bytes free, less what came already.
    """
    missing_bytes = sum(
        max(0, file.size_bytes - file_size_bytes(place.partial(file))) for file in missing
    )
    margin = max(LEAST_MARGIN_BYTES, int(MARGIN_SHARE * missing_bytes))
    free = free_disk_bytes(place.root)
    if missing_bytes and free < missing_bytes + margin:
        raise InsufficientDiskError(
            f"Of {repository}, {human_bytes(missing_bytes)} are still to be downloaded, and "
            f"{human_bytes(margin)} are to stay free; {place.root.parent} has "
            f"{human_bytes(free)} free.",
            action="Free space, or set HF_HUB_CACHE or --target to a larger disk.",
        )


def _record(request: PullRequest, hub: Hub, place: Place, manifest: Manifest) -> ModelRecord:
    now = datetime.now(UTC)
    folder = place.folder(manifest.commit)
    former = read_record(folder)
    return ModelRecord(
        repository=manifest.repository,
        revision=manifest.revision,
        commit=manifest.commit,
        endpoint=hub.address,
        in_cache=request.target is None,
        folder=folder,
        files=manifest.files,
        pulled_at=former.pulled_at if former and former.commit == manifest.commit else now,
        verified_at=now,
    )


def _remove_former(record: ModelRecord) -> None:
    """Take away what the commit before had in a plain folder and this one has not.

    SGLang would load its weights as well.
    """
    former = read_record(record.folder)
    if record.in_cache or former is None:
        return
    kept = {file.path for file in record.files}
    for file in former.files:
        if file.path not in kept:
            (record.folder / file.path).unlink(missing_ok=True)


def _resolved(manifest: Manifest, hub: Hub, place: Place) -> PullResolved:
    return PullResolved(
        repository=manifest.repository,
        revision=manifest.revision,
        commit=manifest.commit,
        endpoint=hub.address,
        folder=str(place.folder(manifest.commit)),
        files=len(manifest.files),
        total_bytes=manifest.total_bytes,
    )


def _finished(record: ModelRecord, *, fetched_bytes: int, began: float) -> PullFinished:
    manifest = record.manifest
    return PullFinished(
        repository=record.repository,
        revision=record.revision,
        commit=record.commit,
        folder=str(record.folder),
        files=len(manifest.files),
        total_bytes=manifest.total_bytes,
        fetched_bytes=fetched_bytes,
        seconds=time.monotonic() - began,
        by_hash=True,
    )
