import http.server
import ipaddress
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sama_video.app.server.fetch import Fetcher, is_public
from sama_video.app.server.problems import ApiError

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:8.8.8.8", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1", "2001:db8::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_known(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Host"]))  # type: ignore[attr-defined]
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Type", "text/html" if self.path == "/page" else "video/mp4")
        self.end_headers()
        self.wfile.write(b"v" * (5000 if self.path == "/large" else 100))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Any]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


LOOPBACK = ipaddress.ip_address("127.0.0.1")


def fetcher_of(site: Any, **changes: Any) -> Fetcher:
    """A fetcher for which this machine is the open internet, under one name."""
    port = site.server_address[1]
    options: dict[str, Any] = {
        "hosts": (f"media.example:{port}", f"other.example:{port}", f"inside.example:{port}"),
        "max_bytes": 1000,
        "resolve": lambda host, port: [ipaddress.ip_address("10.0.0.1") if "inside" in host else LOOPBACK],
        "is_allowed": lambda address: address == LOOPBACK,
    }
    return Fetcher(**{**options, **changes})


def refusal(fetcher: Fetcher, url: str) -> ApiError:
    with pytest.raises(ApiError) as refused:
        fetcher.fetch(url)
    assert "\n" not in str(refused.value)
    return refused.value


def test_allowed_host_is_fetched_under_its_name(site: Any) -> None:
    port = site.server_address[1]
    assert fetcher_of(site).fetch(f"http://media.example:{port}/v?x=1#y") == b"v" * 100
    assert site.seen == [("/v?x=1", f"media.example:{port}")]


def test_what_is_not_allowed_is_never_asked(site: Any) -> None:
    port = site.server_address[1]
    fetcher = fetcher_of(site)
    for url in (
        f"http://evil.example:{port}/v",
        "http://media.example/v",
        f"http://media.example:{port + 1}/v",
        f"http://media.example.evil.example:{port}/v",
        f"http://127.0.0.1:{port}/v",
        f"http://user:word@media.example:{port}/v",
        f"ftp://media.example:{port}/v",
        f"http://media.example:{port}/v\r\nHost: x",
        f"http://media.example:{port}/a b",
        "http://[::1",
        "http://media.example:x/",
        f"http://inside.example:{port}/v",
    ):
        assert refusal(fetcher, url).status == 400, url
    assert site.seen == []


def test_redirects_are_judged_like_addresses(site: Any) -> None:
    port = site.server_address[1]
    fetcher = fetcher_of(site)
    assert fetcher.fetch(f"http://media.example:{port}/to/http://other.example:{port}/v") == b"v" * 100
    for target in (
        f"http://evil.example:{port}/v",
        f"http://inside.example:{port}/v",
        "http://127.0.0.1/",
        "file:///x",
    ):
        refusal(fetcher, f"http://media.example:{port}/to/{target}")
    assert "redirected more than" in str(refusal(fetcher, f"http://media.example:{port}/to//to//to//to//to//to//v"))
    assert all(host.endswith(f".example:{port}") and "evil" not in host for _, host in site.seen)


def test_name_that_changes_its_mind_is_asked_once(site: Any) -> None:
    port = site.server_address[1]
    answers = iter([[LOOPBACK], [ipaddress.ip_address("10.0.0.1")]])
    asked: list[str] = []

    def resolve(host: str, _port: int) -> Any:
        asked.append(host)
        return next(answers)

    assert fetcher_of(site, resolve=resolve).fetch(f"http://media.example:{port}/v") == b"v" * 100
    assert asked == ["media.example"]


def test_one_private_address_among_public_ones_is_enough(site: Any) -> None:
    port = site.server_address[1]
    both = [LOOPBACK, ipaddress.ip_address("10.0.0.1")]
    assert "not public" in str(refusal(fetcher_of(site, resolve=lambda *_: both), f"http://media.example:{port}/v"))


def test_what_comes_back_is_bounded(site: Any) -> None:
    port = site.server_address[1]
    fetcher = fetcher_of(site)
    assert refusal(fetcher, f"http://media.example:{port}/large").status == 413
    assert refusal(fetcher, f"http://media.example:{port}/page").status == 415
    assert refusal(fetcher, f"http://media.example:{port}/none").status == 400
    refusal(fetcher_of(site, seconds=-1), f"http://media.example:{port}/v")


def test_name_without_an_address(site: Any) -> None:
    def nowhere(*_: Any) -> Any:
        raise OSError

    assert "no address" in str(
        refusal(fetcher_of(site, resolve=nowhere), f"http://media.example:{site.server_address[1]}/")
    )


def test_default_goes_nowhere() -> None:
    assert refusal(Fetcher((), 10), "http://localhost/").status == 400
    assert refusal(Fetcher(("localhost",), 10), "http://localhost/").status == 400
