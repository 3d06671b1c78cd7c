"""Files with a wrong value anywhere: each is read, refused or partly left out, and nothing else ever happens."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sama_video.data.findings import Findings
from sama_video.data.formats import FORMATS, AnnotatedClip
from sama_video.errors import SamaError

WRONG: list[Any] = [
    None,
    True,
    -1,
    2**31,
    10**40,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "../..",
    "\x00",
    "\ud800",
    "[SEG]",
]
WRONG += [[], [[]], {}, [None], "a" * 5000, {"size": [1, 1], "counts": [1]}, {"size": [9, 14], "counts": "#"}]
FILES = {"coco": "instances.json", "youtube-vis": "instances.json", "label-studio": "tasks.json"}


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from paths_of(value[key], (*path, key))


def damaged(document: Any, chance: random.Random) -> Any:
    found = copy.deepcopy(document)
    path = chance.choice([one for one in paths_of(found) if one])
    path = path[: chance.randint(1, len(path))]
    holder = found
    for key in path[:-1]:
        holder = holder[key]
    if chance.random() < 0.2:
        del holder[path[-1]]
    else:
        holder[path[-1]] = copy.deepcopy(chance.choice(WRONG))
    return found


def read(name: str, path: Path) -> Findings:
    """Read all of it; nothing but our own one-line errors may come out."""
    findings = Findings()
    refused = ""
    try:
        for clip in FORMATS[name].read(path, findings):
            assert all(one.masklet.num_frames == clip.num_frames for one in clip.objects)
    except SamaError as error:
        refused = str(error)
    assert "\n" not in refused
    for row in findings.rows:
        row.detail.encode()
    return findings


@pytest.mark.parametrize("name", FILES)
def test_wrong_values_are_faults(name: str, make_clip: Callable[..., AnnotatedClip], tmp_path: Path) -> None:
    FORMATS[name].write([make_clip(num_frames=2, boxes=True), make_clip("one", 1)], tmp_path / "out")
    file = tmp_path / "out" / FILES[name]
    document = json.loads(file.read_text())
    chance = random.Random(7)
    faults = 0
    for _ in range(40):
        file.write_text(json.dumps(damaged(document, chance)))
        faults += bool(read(name, file).faults)
    assert faults > 10


@pytest.mark.parametrize("name", FORMATS)
def test_wrong_bytes_are_faults(name: str, make_clip: Callable[..., AnnotatedClip], tmp_path: Path) -> None:
    FORMATS[name].write([make_clip(num_frames=2, apart=True)], tmp_path / "out")
    files = sorted(path for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".xml", ".png"))
    files = [path for path in files if "images" not in path.parts and "JPEGImages" not in path.parts]
    chance = random.Random(11)
    for _ in range(25):
        path = chance.choice(files)
        content = path.read_bytes()
        spoilt = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        path.write_bytes(spoilt[: chance.randrange(len(spoilt))] if chance.random() < 0.2 else spoilt)
        read(name, tmp_path / "out")
        path.write_bytes(content)
    assert read(name, tmp_path / "out").faults == {}
