"""Models that the hub does not give: gated, absent, or no network. Texts of huggingface_hub."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import LogCause, LogMatch, Retry


def _is_the_draft(match: LogMatch) -> bool:
    path = match.config.speculative_draft_model_path
    return path is not None and path in match.found.string


ERRORS: Final = {
    "hub-gated": LogCause(
        pattern=r"Cannot access gated repo|access a gated repo|is a gated repository",
        sample="Cannot access gated repo for url https://huggingface.co/example/gated/resolve/main",
        summary="The repository {config.model_path} is gated and this account has no access.",
        action="Accept its licence at https://huggingface.co/{config.model_path}, then "
        "`hf auth login` or set HF_TOKEN.",
    ),
    "hub-no-revision": LogCause(
        pattern=r"^Revision Not Found for url|is not a valid git identifier",
        sample="Revision Not Found for url: https://huggingface.co/example/model/resolve/0123\n"
        "OSError: main2 is not a valid git identifier (branch name, tag name or commit id)",
        summary=lambda match: (
            f"The repository {match.config.model_path} has no revision "
            f"{match.config.revision or 'of that name'}."
        ),
        action="Check --revision against the repository's list of commits, or leave it out.",
    ),
    "draft-model-missing": LogCause(
        pattern=r"Repo id must be in the form|is not a local folder|^Repository Not Found for url",
        applies=_is_the_draft,
        summary="The draft model {config.speculative_draft_model_path} is neither a folder here "
        "nor a repository.",
        action="Check --speculative-draft-model-path; without it EAGLE uses the model's own NextN "
        "layer.",
        looks="any sign of `hub-no-repository`, for `--speculative-draft-model-path`",
    ),
    "hub-no-repository": LogCause(
        pattern=r"^(?:\w*Error: )?(?P<name>\S+) is not a local folder "
        r"|^Repository Not Found for url"
        r"|Repo id must be in the form .*: '(?P<id>[^']*)'",
        sample="Repository Not Found for url: https://huggingface.co/example/absent/resolve/main\n"
        "OSError: example/absent is not a local folder and is not a valid model identifier",
        summary=lambda match: (
            f"The model {match['name'] or match.config.model_path} is neither a folder here nor a "
            "repository that this account sees."
        ),
        action="Check --model-path; for a private repository, `hf auth login` or set HF_TOKEN.",
    ),
    "hub-offline": LogCause(
        pattern=r"^[\w.]*LocalEntryNotFoundError: .*outgoing traffic has been disabled"
        r"|^[\w.]*OfflineModeIsEnabled: ",
        sample="LocalEntryNotFoundError: outgoing traffic has been disabled\n"
        "OfflineModeIsEnabled: Cannot reach https://huggingface.co: offline mode is enabled",
        summary="HF_HUB_OFFLINE is set and {config.model_path} is not, or not whole, in the local "
        "cache.",
        action="With HF_HUB_OFFLINE unset, `python -m launcher pull {config.model_path}`; or "
        "--model-path of a folder here.",
    ),
    "hub-unreachable": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"^\w*Error: We couldn't connect to '|^[\w.]*LocalEntryNotFoundError: ",
        sample="OSError: We couldn't connect to 'https://huggingface.co' to load the files\n"
        "LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub",
        summary="The hub cannot be reached and {config.model_path} is not, or not whole, in the "
        "local cache.",
        action="Once there is a network, `python -m launcher pull {config.model_path}`; or "
        "--model-path of a folder here.",
    ),
}
