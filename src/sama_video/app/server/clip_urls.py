"""What a message names its video by: a file's id, a `data:` URL, or an address that may be fetched."""

import base64
import binascii
import re

from sama_video.app.server.fetch import Fetcher
from sama_video.app.server.files import CLIP_ID, ClipStore, StoredClip
from sama_video.app.server.problems import ApiError

DATA_URL = re.compile(r"data:(?P<kind>[a-zA-Z0-9.+/-]*)(?P<parameters>(;[a-zA-Z0-9=.+\"-]+)*?)(?P<base64>;base64)?,")
TAKEN = re.compile(r"(video|image)/.+|application/(octet-stream|mp4)")


def clip_of(url: str, store: ClipStore, fetcher: Fetcher) -> StoredClip:
    """The stored clip that an address stands for; takes it in when it is not here yet. Blocks.

    Raises:
        ApiError: It is of no form that is taken, names no file, or may not be fetched.
        VideoError: What it holds is no video.
    """
    if CLIP_ID.fullmatch(url):
        return store.get(url)
    if url[:5].lower() == "data:":
        return store.put_bytes(data_of(url), "data")
    if url[:7].lower() in ("http://", "https:/"):
        return store.put_bytes(fetcher.fetch(url), "fetched")
    raise ApiError(
        400,
        "the url of a video is a file's id (64 hexadecimal digits, from POST /v1/files), a data: URL, or an address of "
        "a host that this server may fetch from; give one of those.",
        code="invalid_value",
        param="url",
    )


def data_of(url: str) -> bytes:
    """The content of a `data:` URL that holds a video or an image in base64."""
    found = DATA_URL.match(url[:256])
    if found is None or found["base64"] is None:
        raise ApiError(
            400, "the data: URL is not in base64; write data:video/mp4;base64,...", code="invalid_value", param="url"
        )
    if not TAKEN.fullmatch(found["kind"].lower()):
        raise ApiError(
            415, "the data: URL is no video or image by its type; write data:video/mp4;base64,...", param="url"
        )
    try:
        return base64.b64decode(url[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ApiError(400, "the data: URL's base64 is damaged; encode it again.", param="url") from None
