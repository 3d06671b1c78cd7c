"""The container, the unit and the Space say what is there: files, options, extras, users. None of them is started."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import click
import pytest
import yaml

from sama_video.app.cli.main import sama

DOCKERFILES = ("Dockerfile", "deploy/space/Dockerfile")
INSTRUCTIONS = {
    "ARG", "FROM", "LABEL", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT",
}  # fmt: skip
SERVICE_KEYS = {
    "restart", "command", "ports", "volumes", "secrets", "read_only", "tmpfs", "cap_drop", "security_opt",
    "stop_grace_period", "image", "build", "profiles", "deploy",
}  # fmt: skip

each_dockerfile = pytest.mark.parametrize("name", DOCKERFILES)


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    def words(self) -> list[str]:
        """Its arguments, in either form."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


def instructions(path: Path) -> list[Instruction]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in whole.splitlines() if line.strip()]


def check_serve(words: list[str]) -> None:
    """A command line starts the server with options that it has; nothing runs."""
    assert Path(words[0]).name == "sama"
    command = sama.get_command(click.Context(sama), words[1])
    assert command is not None
    command.make_parser(click.Context(command)).parse_args(list(words[2:]))


@each_dockerfile
def test_container_is_made_of_what_is_there(repository: Path, name: str) -> None:
    found = instructions(repository / name)
    assert {one.name for one in found} <= INSTRUCTIONS
    kept = [line[1:] for line in (repository / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"]
    for one in found:
        if one.name == "COPY" and "--from=build" not in one.words():
            for source in one.words()[:-1]:
                assert (repository / source).exists(), source
                assert any(fnmatch(source, pattern) for pattern in kept), f"{source} is left out by .dockerignore"
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in re.findall(r"\.\[(\w+)\]|ARG EXTRAS=(\w+)", (repository / name).read_text(encoding="utf-8")):
        assert "".join(extra) in project["optional-dependencies"]


@each_dockerfile
def test_container_runs_without_rights_and_tells_its_health(repository: Path, name: str) -> None:
    found = instructions(repository / name)
    last = {one.name: one for one in found}
    assert int(last["USER"].text) > 0
    assert found.index(last["USER"]) > max(index for index, one in enumerate(found) if one.name in ("RUN", "COPY"))
    words = last["ENTRYPOINT"].words()
    check_serve(words)
    port = words[words.index("--port") + 1]
    assert last["EXPOSE"].text == port
    health = json.loads(last["HEALTHCHECK"].text.partition("CMD ")[2])
    assert f":{port}/health" in health[-1]
    compile(health[-1], "health check", "exec")


@each_dockerfile
def test_arguments_are_declared_where_they_are_used(repository: Path, name: str) -> None:
    known: set[str] = set()
    first = True
    for one in instructions(repository / name):
        if one.name == "ARG":
            known.add(one.text.partition("=")[0])
        elif one.name == "FROM" and not first:
            known &= {"PYTHON_VERSION"}  # others end with their stage
        elif one.name == "FROM":
            first = False
        used = set(re.findall(r"\$\{?([A-Z_]+)\}?", one.text)) - {"PATH"}
        assert used <= known, one


def test_container_without_a_key_would_refuse(repository: Path) -> None:
    words = {one.name: one for one in instructions(repository / "Dockerfile")}["ENTRYPOINT"].words()
    assert words[words.index("--host") + 1] == "0.0.0.0"
    assert "--insecure" not in words


def test_health_check_asks_a_server(repository: Path) -> None:
    """It passes where `/health` answers and fails where nothing does."""
    import http.server
    import threading

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    asked = json.loads(
        {one.name: one for one in instructions(repository / "Dockerfile")}["HEALTHCHECK"].text.partition("CMD ")[2]
    )
    with http.server.HTTPServer(("127.0.0.1", 0), Healthy) as server:
        script = asked[-1].replace(":8000", f":{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert subprocess.run([sys.executable, asked[1], script], check=False, timeout=30).returncode == 0
        server.shutdown()
    failed = subprocess.run([sys.executable, asked[1], script], check=False, timeout=30, stderr=subprocess.DEVNULL)
    assert failed.returncode != 0


def test_compose_file_names_what_there_is(repository: Path) -> None:
    folder = repository / "deploy"
    document = yaml.safe_load((folder / "compose.yaml").read_text(encoding="utf-8"))
    arguments = {one.text.partition("=")[0] for one in instructions(repository / "Dockerfile") if one.name == "ARG"}
    entry = {one.name: one for one in instructions(repository / "Dockerfile")}["ENTRYPOINT"].words()
    assert set(document["services"]) == {"cpu", "cuda"}
    for service in document["services"].values():
        assert set(service) <= SERVICE_KEYS
        assert (folder / service["build"]["context"] / "Dockerfile").is_file()
        assert set(service["build"]["args"]) <= arguments
        assert set(service["secrets"]) <= set(document["secrets"])
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(document["volumes"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        check_serve([*entry, *service["command"]])


def unit(repository: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(repository / "deploy" / "sama.service", encoding="utf-8")
    return parser


def test_unit_starts_the_server_with_a_key_and_few_rights(repository: Path) -> None:
    service = unit(repository)["Service"]
    check_serve(shlex.split(service["ExecStart"]))
    assert "--api-key %d/keys" in service["ExecStart"]
    assert service["LoadCredential"].startswith("keys:")
    assert (service["DynamicUser"], service["NoNewPrivileges"], service["ProtectSystem"]) == ("yes", "yes", "strict")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_accepts_the_unit(repository: Path, tmp_path: Path) -> None:
    text = (repository / "deploy" / "sama.service").read_text(encoding="utf-8")
    program = unit(repository)["Service"]["ExecStart"].split()[0]
    (tmp_path / "sama.service").write_text(text.replace(f"ExecStart={program}", f"ExecStart={sys.executable}"), "utf-8")
    words = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "sama.service")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert "sama.service" not in done.stderr, done.stderr


def test_space_tells_its_settings(repository: Path) -> None:
    text = (repository / "deploy" / "space" / "README.md").read_text(encoding="utf-8")
    settings = yaml.safe_load(text.split("---")[1])
    words = {one.name: one for one in instructions(repository / "deploy/space/Dockerfile")}["ENTRYPOINT"].words()
    assert settings["sdk"] == "docker"
    assert str(settings["app_port"]) == words[words.index("--port") + 1]
    assert len(settings["short_description"]) <= 60
