"""Fetching a video that a question names by its address, from hosts that the operator allowed, and nowhere else.

A name is resolved once, every address it has must be public, and the connection goes to the very address that was
checked: so neither a name that changes its mind between check and use, nor a redirect, reaches into a private network.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

from sama_video.app.server.problems import ApiError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_REDIRECTS = 3
SCHEME_PORTS = {"http": 80, "https": 443}
MEDIA_TYPES = ("video/", "image/", "application/octet-stream", "binary/octet-stream", "application/mp4")
REDIRECTS = (301, 302, 303, 307, 308)


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, whatever it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return False
        if address in ipaddress.ip_network("64:ff9b::/96") or address in ipaddress.ip_network("64:ff9b:1::/48"):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve(host: str, port: int) -> list[Address]:
    """Every address of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in found]


@dataclass(frozen=True)
class Fetcher:
    """Fetches from allowed hosts.

    Attributes:
        hosts: As `host`, for its usual ports, or `host:port`.
        max_bytes: Longest body.
        seconds: For the whole of it.
        resolve: Addresses of a host.
        is_allowed: Which addresses may be connected to.
    """

    hosts: tuple[str, ...]
    max_bytes: int
    seconds: float | int = 60.0
    resolve: Callable[[str, int], Sequence[Address]] = resolve
    is_allowed: Callable[[Address], bool] = is_public
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)

    def fetch(self, url: str) -> bytes:
        """The content of an address.

        Raises:
            ApiError: The host is not allowed, has a private address, does not answer, or sends something else.
        """
        ends_at = time.monotonic() + self.seconds
        for _ in range(MAX_REDIRECTS + 1):
            parts = self._checked(url)
            connection = self._connect(parts, ends_at)
            try:
                target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
                connection.request("GET", target, headers={"Accept": "video/*, image/*", "User-Agent": "sama-video"})
                with closing(connection.getresponse()) as response:
                    if response.status not in REDIRECTS:
                        return self._content(response, ends_at)
                    url = urljoin(url, response.headers.get("Location", ""))
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _refused(f"{parts.hostname} did not send the video ({type(error).__name__}).") from None
            finally:
                connection.close()
        raise _refused(f"the address was redirected more than {MAX_REDIRECTS} times; give the last one.")

    def _checked(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _refused("the address does not parse; give https://host/path.") from None
        host = (parts.hostname or "").lower()
        if parts.scheme not in SCHEME_PORTS or not host or not url.isascii() or not url.isprintable() or " " in url:
            raise _refused("the address is no plain http or https one; give https://host/path.")
        if parts.username or parts.password:
            raise _refused("the address holds a name or password; leave it out.")
        wanted = f"{host}:{port}" if port not in (None, SCHEME_PORTS[parts.scheme]) else host
        if wanted not in self.hosts:
            raise _refused(
                f"{wanted} is not among the hosts that this server fetches from; upload the video to /v1/files, or "
                "have the server started with --allow-fetch."
            )
        return parts

    def _connect(self, parts: SplitResult, ends_at: float) -> "_PinnedConnection":
        host = parts.hostname or ""
        port = parts.port or SCHEME_PORTS[parts.scheme]
        try:
            addresses = self.resolve(host, port)
        except (OSError, ValueError):
            raise _refused(f"{host} has no address; check the name.") from None
        if not addresses or not all(self.is_allowed(address) for address in addresses):
            raise _refused(f"{host} has an address that is not public, and this server does not go there.")
        tls = self.tls if parts.scheme == "https" else None
        return _PinnedConnection(host, port, addresses[0], tls, max(0.1, ends_at - time.monotonic()))

    def _content(self, response: http.client.HTTPResponse, ends_at: float) -> bytes:
        if response.status != 200:
            raise _refused(f"the address answered {response.status}; check it.")
        kind = (response.headers.get("Content-Type") or "application/octet-stream").lower()
        if not kind.startswith(MEDIA_TYPES):
            raise ApiError(415, "the address is no video or image by its content type.", code="fetch", param="url")
        content = BytesIO()
        while chunk := response.read(1 << 16):
            content.write(chunk)
            if content.tell() > self.max_bytes:
                raise ApiError(
                    413, f"the video has more than {self.max_bytes} bytes; cut it.", code="file_too_large", param="url"
                )
            if time.monotonic() > ends_at:
                raise _refused(f"the video took longer than {self.seconds:g} s to fetch; upload it instead.")
        return content.getvalue()


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to one checked address, under the name that it was found by."""

    def __init__(self, host: str, port: int, address: Address, tls: ssl.SSLContext | None, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address, self._tls = address, tls

    def connect(self) -> None:
        """Open the socket; the name is not looked up again."""
        plain = socket.create_connection((str(self._address), self.port), self.timeout)
        try:
            self.sock: Any = plain if self._tls is None else self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _refused(message: str) -> ApiError:
    return ApiError(400, message, code="fetch", param="url")
