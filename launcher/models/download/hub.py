"""The model hub, through huggingface_hub's own client: what a repository has, and its bytes.

The client is imported when the hub is first asked: it takes half a second, and nothing but a
download needs it. Its tokens, proxies, mirrors (`HF_ENDPOINT`) and time-outs hold here too.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from launcher.errors import (
    GatedRepositoryError,
    HubAnswerError,
    HubError,
    HubTokenError,
    HubUnreachableError,
    InvalidValueError,
    LauncherError,
    UnknownRepositoryError,
    UnknownRevisionError,
)
from launcher.models.download.retries import TransientError, WrongSizeError
from launcher.models.files import COMMIT, Manifest, RemoteFile

if TYPE_CHECKING:
    import httpx

# The client hands bytes on when it has so many, 10 MiB by itself, and a process that is killed
# loses what it has not handed on. Its transport reads 64 KiB at once.
CHUNK_BYTES: Final = 32 * 1024
METADATA_TIMEOUT_SECONDS: Final = 30.0
# The list of files: 150 bytes for each; the largest repositories of models have some thousands.
LARGEST_LISTING_BYTES: Final = 16 * 1024**2
LONGEST_LISTING_SECONDS: Final = 60.0
MOST_FILES: Final = 50_000
# What is asked for beyond a year is a slip, or a joke.
LONGEST_ASKED_SECONDS: Final = 365 * 86_400.0
_LOOK_AT: Final = "Look at what answers in the hub's place: HF_ENDPOINT, HTTPS_PROXY."
_RETRIED: Final = frozenset({408, 500, 502, 503, 504})


class Hub:
    """A hub, or a mirror of it.

    Args:
        endpoint: its address; None for `HF_ENDPOINT`, else the public one.

    Raises:
        InvalidValueError: the address is none.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        if endpoint is not None and not re.match(r"https?://[^/]", endpoint):
            raise InvalidValueError(
                f"The endpoint {endpoint!r} is not an address.",
                action="Give it as https://HOST, or leave it out for the public hub.",
            )
        self._endpoint = endpoint.rstrip("/") if endpoint else None

    @property
    def address(self) -> str:
        """Where it is, without a name and password that may stand in the address."""
        from huggingface_hub import constants  # noqa: PLC0415

        parts = urllib.parse.urlsplit(self._endpoint or constants.ENDPOINT)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def list_files(self, repository: str, revision: str | None) -> Manifest:
        """What a repository has at a branch, tag or commit; None is the main branch.

        Raises:
            TransientError: another attempt may succeed.
            LauncherError: it cannot; see the classes below `HubError`.
        """
        from huggingface_hub import HfApi  # noqa: PLC0415

        from launcher.models.download.bounds import IDENTITY, Answer, within  # noqa: PLC0415

        with self._asking(repository, revision):
            answer = Answer(
                f"the list of files of {repository}",
                LARGEST_LISTING_BYTES,
                most_seconds=LONGEST_LISTING_SECONDS,
            )
            api = HfApi(endpoint=self._endpoint, headers=dict(IDENTITY))
            info = within(
                answer,
                lambda: api.model_info(
                    repository,
                    revision=revision,
                    files_metadata=True,
                    timeout=METADATA_TIMEOUT_SECONDS,
                ),
            )
            if len(info.siblings or ()) > MOST_FILES:
                raise ValueError(f"{len(info.siblings or ()):,} files, and {MOST_FILES:,} at most")
            files = tuple(
                RemoteFile(
                    path=sibling.rfilename,
                    size_bytes=-1 if sibling.size is None else sibling.size,
                    digest=str(sibling.lfs.sha256 if sibling.lfs else sibling.blob_id),
                )
                for sibling in info.siblings or ()
            )
            if len({file.path for file in files}) < len(files):
                raise ValueError("it names a file twice")
            if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
                raise ValueError("its commit is no hash")
            return Manifest(repository, revision or "main", info.sha, files)

    def read_file(
        self, manifest: Manifest, file: RemoteFile, into: BinaryIO, *, have_bytes: int
    ) -> None:
        """Fetch a file of a commit, or what is missing of it.

        The address asked is the repository's own, not the CDN's to which it leads: that one holds
        for an hour only, and each attempt gets another.

        Args:
            manifest: names the commit.
            file: one of its files.
            into: takes the bytes as they come; stands at its end.
            have_bytes: how many of them it has already.

        Raises:
            TransientError: another attempt may succeed, and goes on where this one ended.
            WrongSizeError: what comes has another size than `file`; then not where it ended.
            LauncherError: it cannot.
            OSError: `into` does not take them.
        """
        from huggingface_hub import hf_hub_url  # noqa: PLC0415
        from huggingface_hub.file_download import http_get  # noqa: PLC0415
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: PLC0415

        from launcher.models.download.bounds import (  # noqa: PLC0415
            IDENTITY,
            Answer,
            Guarded,
            within,
        )

        answer = Answer(file.path, file.size_bytes, exact_bytes=file.size_bytes - have_bytes)
        with self._asking(manifest.repository, manifest.revision):
            url = hf_hub_url(
                manifest.repository,
                file.path,
                revision=manifest.commit,
                endpoint=self._endpoint,
            )
            within(
                answer,
                lambda: http_get(
                    url,
                    cast(BinaryIO, Guarded(into, answer)),
                    resume_size=have_bytes,
                    # Compressed on the way, a file could not be asked for from its middle.
                    headers=build_hf_headers(headers=dict(IDENTITY)),
                    expected_size=file.size_bytes,
                    displayed_filename=file.path,
                    # It would sleep in between; whoever calls this tries again.
                    _nb_retries=0,
                ),
            )

    @contextlib.contextmanager
    def _asking(self, repository: str, revision: str | None) -> Iterator[None]:
        """Prepare the client, and turn its errors into ours."""
        import httpx  # noqa: PLC0415
        from huggingface_hub import errors  # noqa: PLC0415

        began = time.monotonic()
        try:
            _prepare_client()
            yield
        except errors.HfHubHTTPError as error:
            raise self._refusal(error, repository, revision) from error
        except errors.HFValidationError as error:
            raise InvalidValueError(
                f"The hub's client does not take it: {error}.",
                action="A repository id has the form OWNER/NAME.",
            ) from error
        except errors.OfflineModeIsEnabled as error:
            raise HubUnreachableError(
                f"HF_HUB_OFFLINE forbids to ask {self.address}.", action="Unset it."
            ) from error
        except httpx.TooManyRedirects as error:
            raise HubAnswerError(
                f"{self.address} leads in circles for {repository}: redirects without end.",
                action=_LOOK_AT,
            ) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.DecodingError) as error:
            raise HubAnswerError(
                f"{self.address} gives an answer on {repository} that is none of a hub: {error}.",
                action=_LOOK_AT,
            ) from error
        except RecursionError as error:
            raise HubAnswerError(
                f"{self.address} gives an answer on {repository} that is nested without end.",
                action=_LOOK_AT,
            ) from error
        except httpx.TransportError as error:
            text = str(error) or type(error).__name__
            # At most the time-out: before it something may have come.
            waited = min(time.monotonic() - began, METADATA_TIMEOUT_SECONDS)
            silent = waited if isinstance(error, httpx.TimeoutException) else 0.0
            raise TransientError(
                f"{self.address} cannot be reached: {text}", silent_seconds=silent
            ) from error
        except OSError as error:
            # The client's own, of a body that ended as it should; those of the disk have a number.
            if error.errno is None:
                raise WrongSizeError(str(error).splitlines()[0]) from error
            raise
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            # Another kind of error speaks of the client's code, not of the answer.
            why = error if isinstance(error, ValueError) else "it has not the form of a hub's"
            raise HubError(
                f"{self.address} gives an answer on {repository} that cannot be used: {why}.",
                action="Look whether the endpoint is a model hub. The hub gives files above 50 GB "
                "to its own client alone: `hf download`.",
            ) from error

    def _refusal(self, error: Exception, repository: str, revision: str | None) -> Exception:
        """What an answer with an error status means."""
        from huggingface_hub import errors  # noqa: PLC0415

        page = f"{self.address}/{repository}"
        response = cast("errors.HfHubHTTPError", error).response
        evidence = (f"HTTP {response.status_code} from {self.address}",)
        login = "`hf auth login`, or set HF_TOKEN"
        refusal: LauncherError
        # First: for the client it is a repository that cannot be found.
        if isinstance(error, errors.GatedRepoError):
            refusal = GatedRepositoryError(
                f"{repository} is gated: its owner gives the files only to those who accepted its "
                "terms.",
                action=f"Accept them at {page}, then {login} of that account.",
                evidence=evidence,
            )
        elif isinstance(error, errors.RevisionNotFoundError):
            refusal = UnknownRevisionError(
                f"{repository} has no branch, tag or commit {revision!r}.",
                action=f"Look at {page}/commits, or leave --revision out for the main branch.",
                evidence=evidence,
            )
        elif isinstance(error, errors.RepositoryNotFoundError):
            refusal = UnknownRepositoryError(
                f"There is no repository {repository} at {self.address}, or it is private.",
                action=f"Check the name; for a private one {login}.",
                evidence=evidence,
            )
        elif response.status_code in {401, 403}:
            refusal = HubTokenError(
                f"{self.address} refuses the token for {repository}, or wants one "
                f"(HTTP {response.status_code}).",
                action=f"Use {login} with a token that may read it.",
            )
        elif response.status_code == 404:
            refusal = UnknownRepositoryError(
                f"{self.address} does not know {repository} at {revision or 'main'}.",
                action="Check the name, the revision, and the endpoint if it is a mirror.",
                evidence=evidence,
            )
        elif response.status_code in _RETRIED:
            return TransientError(f"{self.address} answers with HTTP {response.status_code}")
        else:
            refusal = HubError(
                f"{self.address} refuses {repository} with HTTP {response.status_code}.",
                action="Try again later, or look at the hub's status page.",
                evidence=tuple(str(error).splitlines()[:3]),
            )
        return refusal


def _prepare_client() -> None:
    """Let the client of this process behave as a part of ours."""
    from huggingface_hub import constants, get_session  # noqa: PLC0415
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # noqa: PLC0415
    from huggingface_hub.utils.logging import set_verbosity  # noqa: PLC0415

    from launcher.models.download.bounds import bound_client  # noqa: PLC0415

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    # It would ask the public hub, even where a mirror is meant, and write below HF_HOME.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    # What it would say of retries is said by ours.
    set_verbosity(logging.CRITICAL)
    if not constants.HF_HUB_DISABLE_PROGRESS_BARS:
        disable_progress_bars()
    # Else it would itself sleep for as long as the hub asks, be it hours.
    session = get_session()
    hooks = session.event_hooks
    if _stop_when_throttled not in hooks["response"]:
        session.event_hooks = {**hooks, "response": [*hooks["response"], _stop_when_throttled]}
    bound_client(session)


def _stop_when_throttled(response: httpx.Response) -> None:
    if response.status_code == 408:
        raise TransientError(f"{response.request.url.host} answers with HTTP 408")
    if response.status_code == 429:
        host = response.request.url.host
        raise TransientError(
            f"{host} answers that there were too many requests (HTTP 429)",
            retry_after_seconds=_retry_after_seconds(response),
            busy=True,
        )


def _retry_after_seconds(response: httpx.Response) -> float | None:
    """What the hub asks for: its rate-limit header, or the standard one as seconds or a date."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # noqa: PLC0415

    text = response.headers.get("Retry-After", "").strip()
    try:
        limit = parse_ratelimit_headers(response.headers)
        if limit is not None and limit.remaining == 0:
            return min(float(limit.reset_in_seconds), LONGEST_ASKED_SECONDS)
        if text.isdecimal():
            return min(float(text), LONGEST_ASKED_SECONDS)
        at = parsedate_to_datetime(text)
        seconds = (at.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, ArithmeticError):
        # A number or a date that is none.
        return None
    return min(max(0.0, seconds), LONGEST_ASKED_SECONDS)
