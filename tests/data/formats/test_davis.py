"""DAVIS folders: palette indices, void, and what they cannot hold."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_video.data.findings import Findings
from sama_video.data.formats import FORMATS
from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.data.formats.davis import PALETTE
from sama_video.errors import DataError
from sama_video.regions.masklet import Masklet

SIZE = (8, 10)


def write_labels(path: Path, indices: np.ndarray, mode: str = "P") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(indices.astype(np.uint8))
    if mode == "P":
        image.putpalette(PALETTE)
    image.convert(mode).save(path)


def read(root: Path, findings: Findings) -> list[AnnotatedClip]:
    return list(FORMATS["davis"].read(root, findings))


@pytest.fixture
def indices() -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    found[1:4, 1:4], found[5:7, 2:9], found[0, 0] = 1, 3, 255
    return found


@pytest.fixture
def root(tmp_path, pictures, indices) -> Path:
    pictures(tmp_path / "JPEGImages" / "480p" / "bear", ["00000.jpg", "00001.jpg", "00002.jpg"], SIZE)
    for frame in (0, 2):
        write_labels(tmp_path / "Annotations" / "480p" / "bear" / f"{frame:05d}.png", indices)
    return tmp_path


def test_frames_without_labels_are_left_out_and_void_is_nobodys(root, indices):
    (root / "davis_semantics.json").write_text(json.dumps({"bear": {"1": "bear", "3": "log"}}))
    findings = Findings(strict=True)
    (clip,) = read(root, findings)
    assert (clip.name, clip.clip.names) == ("bear", ("00000.jpg", "00002.jpg"))
    assert [(one.object_id, one.label) for one in clip.objects] == [("obj1", "bear"), ("obj3", "log")]
    assert (clip.objects[1].masklet.mask(1) == (indices == 3)).all()
    assert findings.notes == {"void_pixels": 1, "unlabelled_frames": 1}


def test_layout_of_youtube_vos_is_read(tmp_path, pictures, indices):
    pictures(tmp_path / "JPEGImages" / "0a1", ["00000.jpg"], SIZE)
    write_labels(tmp_path / "Annotations" / "0a1" / "00000.png", indices, "L")
    (clip,) = read(tmp_path, Findings(strict=True))
    assert [one.label for one in clip.objects] == ["object", "object"]
    assert clip.objects[0].masklet.box(0) == (1, 1, 4, 4)


def test_labels_in_colour_are_refused(root, indices):
    write_labels(root / "Annotations" / "480p" / "bear" / "00002.png", indices, "RGB")
    findings = Findings()
    assert read(root, findings) == []
    assert findings.faults == {"schema_error": 1}


def test_labels_of_another_size_are_refused(root):
    write_labels(root / "Annotations" / "480p" / "bear" / "00002.png", np.zeros((8, 11)))
    findings = Findings()
    assert read(root, findings) == []
    assert findings.faults == {"mask_size_mismatch": 1}


def test_damaged_labels_are_refused(root):
    path = root / "Annotations" / "480p" / "bear" / "00002.png"
    path.write_bytes(path.read_bytes()[:-40])
    findings = Findings()
    assert read(root, findings) == []
    assert findings.faults == {"unreadable_frame": 1}


def test_labels_without_a_picture_are_refused(root, indices):
    write_labels(root / "Annotations" / "480p" / "bear" / "00009.png", indices)
    findings = Findings()
    assert read(root, findings) == []
    assert findings.faults == {"missing_frame": 1}


def test_folder_without_sequences_is_a_fault(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations").mkdir()
    findings = Findings()
    assert read(tmp_path, findings) == []
    assert findings.faults == {"missing_file": 1}


def test_words_that_are_no_words_are_faults(root):
    (root / "davis_semantics.json").write_text(json.dumps({"bear": {"1": ["bear"], "3": "log"}}))
    findings = Findings()
    assert read(root, findings) == []
    assert findings.faults == {"bad_label": 1}
    (root / "davis_semantics.json").write_text("[]")
    findings = Findings()
    assert read(root, findings) == []
    assert findings.faults == {"schema_error": 1}


def test_the_first_object_keeps_pixels_of_two(make_clip, tmp_path):
    clip = make_clip(num_frames=2, labels=("car", "bus"))
    findings = Findings()
    FORMATS["davis"].write([clip], tmp_path / "out", findings=findings)
    assert findings.notes == {"overlapping_masks": 1}
    (found,) = read(tmp_path / "out", Findings(strict=True))
    first, second = (one.masklet.masks for one in clip.objects)
    assert (found.objects[0].masklet.masks == first).all()
    assert (found.objects[1].masklet.masks == (second & ~first)).all()


def test_index_255_is_no_object(make_clip, tmp_path):
    clip = make_clip(labels=("car",))
    for number in (254, 255):
        masklet = Masklet(f"obj{number}", *clip.size, clip.objects[0].masklet.rles, clip.objects[0].masklet.scores)
        numbered = replace(clip, objects=(replace(clip.objects[0], masklet=masklet),))
        if number == 255:
            with pytest.raises(DataError, match="obj255, and DAVIS has indices for 1 to 254"):
                FORMATS["davis"].write([numbered], tmp_path / "255")
        else:
            FORMATS["davis"].write([numbered], tmp_path / "254")
            (found,) = read(tmp_path / "254", Findings(strict=True))
            assert found.objects[0].object_id == "obj254"


def test_written_labels_are_palette_pictures_in_the_known_colours(make_clip, tmp_path):
    FORMATS["davis"].write([make_clip(apart=True)], tmp_path / "out")
    path = tmp_path / "out" / "Annotations" / "Full-Resolution" / "walk" / "00000.png"
    with Image.open(path) as image:
        assert image.mode == "P"
        assert image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    assert len(PALETTE) == 768
    assert PALETTE[-3:] == (224, 224, 192)
    assert (tmp_path / "out" / "ImageSets" / "2017" / "train.txt").read_text() == "walk\n"
