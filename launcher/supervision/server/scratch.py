"""A folder of its own for what a server leaves in the temporary folder: it goes when the run ends.

SGLang makes a file for each of its sockets (`srt/server_args.py`, `PortArgs.init_new`) and removes
none of them; torch and others leave folders.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from launcher.system.members import find_leader
from launcher.system.shared_memory import ROOT as SHARED_MEMORY

# unix(7): a socket's path has 107 bytes. `multiprocessing` needs the most of them below its
# temporary folder: "/pymp-12345678/listener-12345678".
LONGEST_BYTES: Final = 107 - 33
# Caches that torch keeps below the temporary folder, where no variable says otherwise
# (torch/_inductor/runtime/cache_dir_utils.py): they are to outlive the run. Triton's, FlashInfer's
# and CUDA's are below the user's home.
_CACHE_VARIABLE: Final = "TORCHINDUCTOR_CACHE_DIR"
# As the launcher draws them: nobody gives his own folder such a name by chance.
_RUN_ID: Final = re.compile(r"[0-9a-f]{16}")


def scratch_name(run_id: str) -> str:
    """What such a folder is called; none of another name is ever removed."""
    return f"specserve-{run_id}"


def with_scratch(run_id: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What is added to the launcher's own environment for a run, with a folder made for it.

    Args:
        run_id: of the run.
        environment: what is added for the server in any case.
    """
    return {**environment, **make_scratch(run_id, {**os.environ, **environment})}


def make_scratch(run_id: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Make the folder, 0700, and name the variables that lead a server to it.

    Args:
        run_id: of the run that it is for.
        environment: of the server; its TMPDIR is where the folder is made.

    Returns:
        Nothing where the folder's path is too long for a socket, or the system refuses it: the
        server then uses the temporary folder as it is.
    """
    parent = Path(environment.get("TMPDIR") or tempfile.gettempdir())
    folder = parent / scratch_name(run_id)
    if len(os.fsencode(folder)) > LONGEST_BYTES or SHARED_MEMORY in folder.parents:
        return {}
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        # Made for the process that stood by for this run.
        if not is_ours(folder):
            return {}
    except OSError:
        return {}
    user = environment.get("LOGNAME") or environment.get("USER") or f"uid_{os.getuid()}"
    cache = environment.get(_CACHE_VARIABLE) or str(parent / f"torchinductor_{user}")
    return {"TMPDIR": str(folder), _CACHE_VARIABLE: cache}


def remove_scratch(run_id: str, environment: Mapping[str, str]) -> None:
    """Remove the folder of a run that has ended, and all that is in it. It follows no link.

    Args:
        run_id: of that run.
        environment: what its record says was added to the launcher's own. A record proves nothing:
            only a folder of this very name goes, with an id as they are drawn, and only one that
            is ours alone.
    """
    if _RUN_ID.fullmatch(run_id) is None:
        return
    named = environment.get("TMPDIR")
    parents = {Path(tempfile.gettempdir())} | ({Path(named).parent} if named else set())
    for folder in (parent / scratch_name(run_id) for parent in parents):
        if is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)


def remove_left_scratch(run_id: str, environment: Mapping[str, str]) -> None:
    """Remove the folder of a run that a record calls ended, if no process of that run lives.

    A record may name the run of another server, which needs its folder.

    Args:
        run_id: as the record has it.
        environment: of the same record.
    """
    if find_leader(run_id) is None:
        remove_scratch(run_id, environment)


def is_ours(folder: Path) -> bool:
    """Whether it is a folder, no link to one, and this user's."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
