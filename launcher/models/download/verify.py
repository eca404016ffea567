"""What is here of a model, held against the hub's hashes, or what else is known of them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from launcher.errors import ModelIncompleteError
from launcher.models.download.events import PullFinished
from launcher.models.download.hub import Hub
from launcher.models.download.request import (
    OnPullEvent,
    PullRequest,
    find_wrong,
    list_files,
    not_here,
)
from launcher.models.files import Manifest, RemoteFile, choose_files
from launcher.models.folder import INDEX_NAME, check_weights
from launcher.models.hashes import VerifiedFiles, blobs_of, hash_as, memory_file
from launcher.models.places import Place, check_revision
from launcher.models.store import LocalModel, find_folder, find_in_cache, write_record


def verify(
    request: PullRequest, hub: Hub | None, report: OnPullEvent, *, reread: bool = True
) -> LocalModel:
    """Hold what is here against the hub's hashes, and change nothing.

    Args:
        request: what to look at.
        hub: whom to ask; None: what the record of the download says, or the names in the hub's
            cache, which are hashes.
        report: told of each file.
        reread: read each file, whether or not it was found right before.

    Raises:
        ModelNotFoundError: nothing of it is here.
        ModelIncompleteError: a file is missing or wrong; it says which.
        LauncherError: the hub cannot be asked.
    """
    began = time.monotonic()
    if request.revision is not None:
        check_revision(request.revision)
    manifest = None
    if hub is not None:
        manifest = _manifest_here(request.place(), list_files(request, hub, report))
    local = _find(request, manifest)
    known = manifest or (local.record.manifest if local.record else _manifest_of_links(local))
    if known is not None:
        verified = VerifiedFiles(memory_file())
        wrong = _hold_against(local.folder, known, verified, report, reread=reread)
        verified.save()
        if wrong:
            raise ModelIncompleteError(
                f"{len(wrong)} of {len(known.files)} files of {request.repository} are missing or "
                "are not what the hub has.",
                action=f"Run `python -m launcher pull {request.repository}`: it fetches those "
                "files, and no others.",
                evidence=tuple(wrong[:10]),
            )
    check_weights(local.folder)
    if local.record is not None and known is not None:
        write_record(local.record.model_copy(update={"verified_at": datetime.now(UTC)}))
    report(
        PullFinished(
            repository=request.repository,
            revision=request.revision or "main",
            commit=local.commit,
            folder=str(local.folder),
            files=len(known.files) if known else 0,
            total_bytes=known.total_bytes if known else local.size_bytes,
            fetched_bytes=0,
            seconds=time.monotonic() - began,
            by_hash=known is not None,
        )
    )
    return local


def _manifest_here(place: Place, listing: Manifest) -> Manifest:
    """What is needed, by the shard index that is here."""
    index = listing.find(INDEX_NAME)
    content = None
    if index is not None:
        with contextlib.suppress(OSError):
            stored = place.stored(index)
            content = stored.read_bytes() if hash_as(stored, index.digest) == index.digest else None
    return replace(listing, files=choose_files(listing.files, content))


def _find(request: PullRequest, manifest: Manifest | None) -> LocalModel:
    if request.target is None:
        revision = manifest.commit if manifest else request.revision
        local = find_in_cache(request.repository, revision)
    else:
        known = find_folder(request.target)
        local = _asked_for(request, known, manifest)
        if known is None and (request.target / "config.json").is_file():
            commit = manifest.commit if manifest else "unknown"
            local = LocalModel(
                request.repository, commit, (), request.target, 0, None, None, None, in_cache=False
            )
    if local is None:
        raise not_here(request, local)
    return local


def _asked_for(
    request: PullRequest, local: LocalModel | None, manifest: Manifest | None
) -> LocalModel | None:
    """A folder that holds the repository and the revision that were asked for, and no other."""
    if local is None or local.repository != request.repository:
        return None
    revision = manifest.commit if manifest else request.revision
    return local if revision in {None, local.commit, *local.names} else None


def _hold_against(
    folder: Path, manifest: Manifest, verified: VerifiedFiles, report: OnPullEvent, *, reread: bool
) -> list[str]:
    """What is wrong, in words. Files are named by their links in the hub's cache."""

    def at(file: RemoteFile) -> Path:
        shown = folder / file.path
        return shown.parent / shown.readlink() if shown.is_symlink() else shown

    wrong = [f"{file.path} is missing" for file in manifest.files if not at(file).is_file()]
    # As the memory names them.
    blobs = {blob.name: blob for blob in blobs_of(folder)}

    def key(file: RemoteFile) -> Path:
        return blobs.get(file.digest, folder / file.path)

    there = [file for file in manifest.files if at(file).is_file()]
    unread = [file for file in there if reread or not verified.knows(key(file), file.digest)]
    return wrong + [
        f"{file.path}: its hash is {found}, and should be {file.digest}"
        for file, found in find_wrong(unread, verified, report, where=at, known_as=key)
    ]


def _manifest_of_links(local: LocalModel) -> Manifest | None:
    """In the hub's cache the links themselves say each file's hash."""
    digests = {blob: blob.name for blob in blobs_of(local.folder)}
    files = []
    for link in sorted(local.folder.iterdir()) if local.in_cache else ():
        if link.is_symlink():
            digest = link.readlink().name
            with contextlib.suppress(OSError, ValueError):
                files.append(RemoteFile(link.name, link.stat().st_size, digest))
    if not digests or not files:
        return None
    return Manifest(local.repository, local.commit, local.commit, tuple(files))
