"""Taking a model away again, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from launcher.errors import ModelInUseError, ModelNotFoundError, StateError
from launcher.models.places import OWN_FOLDER, CachePlace, FolderPlace, cannot_write, locked
from launcher.models.store import LocalModel, forget_record, hub_cache, list_models
from launcher.state.store import list_stores
from launcher.text import nearest


@dataclass(frozen=True, slots=True)
class Removal:
    """What would go: all commits of a repository in the hub's cache, or one folder."""

    name: str
    models: tuple[LocalModel, ...]

    @property
    def size_bytes(self) -> int:
        """What the models' files add up to; commits share files, so the disk may gain less."""
        return sum(model.size_bytes for model in self.models)


def plan_removal(name: str) -> Removal:
    """What `models rm` would remove.

    Args:
        name: OWNER/NAME as in the list, or a folder that `pull --target` has filled.

    Raises:
        ModelNotFoundError: it is not here.
        ModelInUseError: a server that runs uses it.
    """
    models = list_models()
    chosen = [model for model in models if model.in_cache and model.repository == name]
    if not chosen:
        folder = Path(name).expanduser().resolve()
        chosen = [model for model in models if not model.in_cache and model.folder == folder]
    if not chosen:
        known = sorted({model.repository for model in models if model.in_cache})
        raise ModelNotFoundError(
            f"There is no model {name!r} here{nearest(name, known)}.",
            action="`python -m launcher models` lists what is here; name a folder by its path.",
        )
    in_cache = chosen[0].in_cache
    roots = [CachePlace(hub_cache(), name).root] if in_cache else [chosen[0].folder]
    if users := users_of(roots, name if in_cache else str(roots[0])):
        raise ModelInUseError(
            f"{name} is served by {', '.join(map(repr, users))}.",
            action=f"Stop it first: `python -m launcher down --name {users[0]}`.",
        )
    return Removal(name, tuple(chosen))


def remove(removal: Removal) -> None:
    """Remove it.

    Raises:
        ModelInUseError: it is being downloaded.
        StateError: the system refuses.
    """
    first = removal.models[0]
    try:
        if first.in_cache:
            _remove_from_cache(removal)
        else:
            _remove_folder(first)
    except OSError as error:
        raise cannot_write(first.folder, error) from error
    for model in removal.models:
        forget_record(model.folder)


def _remove_from_cache(removal: Removal) -> None:
    from huggingface_hub import scan_cache_dir  # noqa: PLC0415

    place = CachePlace(hub_cache(), removal.name)
    with locked(place, removal.name):
        # The client knows what other repositories share, and leaves it. It would also remove the
        # same commits of a repository's duplicates, so it is shown this one alone.
        everything = scan_cache_dir(hub_cache())
        own = [repo for repo in everything.repos if repo.repo_path == place.root]
        commits = [revision.commit_hash for repo in own for revision in repo.revisions]
        if commits:
            replace(everything, repos=frozenset(own)).delete_revisions(*commits).execute()
        # What it leaves: downloads that are not complete, files set aside.
        if place.root.exists():
            shutil.rmtree(place.root)
        place.lock_file.unlink(missing_ok=True)


def _remove_folder(model: LocalModel) -> None:
    """Remove what `pull` brought; what the user has put beside it stays."""
    place = FolderPlace(model.folder)
    with locked(place, model.repository):
        for file in model.record.files if model.record else ():
            (model.folder / file.path).unlink(missing_ok=True)
        shutil.rmtree(model.folder / OWN_FOLDER)
    if not any(model.folder.iterdir()):
        model.folder.rmdir()


def users_of(folders: Iterable[Path], repository: str) -> list[str]:
    """The names of servers that run with a model: by its folder, or by its repository id."""
    roots = [str(folder) for folder in folders]
    users = []
    for store in list_stores():
        try:
            record = store.read()
        except StateError:
            continue  # another version's: it says nothing on models
        if record is None or not record.is_running:
            continue
        words = (*record.command, record.model_path)
        if repository in words or any(
            word == root or word.startswith(f"{root}/") for word in words for root in roots
        ):
            users.append(store.name)
    return users
