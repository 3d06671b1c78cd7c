"""Upload: a published data set to a hub, by the user's own login."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sama_video.annotate.publish.clip_copies import CLIPS
from sama_video.annotate.publish.official import FOLDERS
from sama_video.annotate.publish.publishing import MANIFEST, is_whole
from sama_video.errors import ConfigError


@runtime_checkable
class Hub(Protocol):
    """The part of `huggingface_hub.HfApi` that is needed."""

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> Any:
        """Make the data set's place, if it is not there."""
        ...

    def upload_folder(
        self, *, repo_id: str, repo_type: str, folder_path: str, allow_patterns: Sequence[str], commit_message: str
    ) -> Any:
        """Send what matches the patterns, in one commit."""
        ...


def upload(out: Path, repo: str, *, private: bool = True, hub: Hub | None = None) -> str:
    """Send a published data set to a hub and give its address; the ledger, replies and reviews stay here.

    Args:
        out: Where `publish` wrote it.
        repo: `owner/name`.
        hub: The Hub of `huggingface_hub`, under whatever login it finds, if not given.

    Raises:
        ConfigError: There is no whole data set, or the hub refuses it.
    """
    if not is_whole(out):
        raise ConfigError(f"{out} holds no whole data set; run the same command without the upload first.")
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise ConfigError(f"--upload {repo} names no data set; write owner/name.")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api: Any = hub or HfApi()
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        found = api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=str(out),
            allow_patterns=published_patterns(out),
            commit_message="Publish by sama data annotate",
        )
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"the hub refuses {repo} ({why}); log in with `hf auth login`, or correct the name."
        ) from error
    return str(getattr(found, "commit_url", None) or repo)


def published_patterns(out: Path) -> list[str]:
    """What of a folder is the data set: the files that its list names, and the clips."""
    files = list(json.loads((out / MANIFEST).read_bytes())["files"])
    clips = [f"{place}{CLIPS}/*" for place in ("", "train/", "test/") if (out / place / CLIPS).is_dir()]
    frames = [f"{folder}/*" for folder in FOLDERS.values() if (out / folder).is_dir()]
    return [*files, MANIFEST, *clips, *frames]
