"""Pointing and exporting with the bundled model, on a few frames of the bundled clip."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from nano_model import nano_model
from starlette.testclient import TestClient

from sama_video.app.server.files import ClipStore
from sama_video.app.server.main import create_app, probe_limits
from sama_video.app.server.probe import check
from sama_video.app.server.settings import Limits, ServerSettings
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import decode
from sama_video.video.bundled import DEMO_CLIP
from sama_video.video.reader import open_video
from sama_video.video.writer import write_video

STAR = [51, 153]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("served")
    limits = Limits()
    settings = ServerSettings(folder, allowed_hosts=("testserver",), limits=limits)
    store = ClipStore(
        folder,
        quota_bytes=1 << 30,
        max_file_bytes=1 << 30,
        max_age_seconds=999,
        limits=probe_limits(limits),
        check=check,
    )
    app = create_app(settings, [nano_model()], store=store)
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def clip_id(client: TestClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("clip") / "short film.mp4"
    clip = open_video(DEMO_CLIP)
    write_video(path, [clip.frame(idx) for idx in range(4)], fps=24)
    reply = client.post("/v1/files", files={"file": ("short film.mp4", path.read_bytes())})
    return str(reply.json()["id"])


@pytest.fixture(scope="module")
def tracked(client: TestClient, clip_id: str) -> dict[str, Any]:
    sighting = {"frame": 0, "points": [STAR]}
    body = {"file": clip_id, "objects": [{"id": "obj3", "sightings": [sighting]}]}
    reply = client.post("/v1/tracks", json=body)
    assert reply.status_code == 200, reply.text
    [masklet] = reply.json()["masklets"]
    return dict(masklet)


def test_click_shows_its_object_at_once(client: TestClient, clip_id: str) -> None:
    body = {"file": clip_id, "region": {"frame": 1, "points": [STAR]}}
    shown = client.post("/v1/masks", json=body).json()
    mask = decode(shown["mask"])
    assert (shown["frame"], mask.shape) == (1, (256, 256))
    assert mask[STAR[1], STAR[0]]
    x0, y0, x1, y1 = shown["box"]
    assert mask[y0:y1, x0:x1].sum() == mask.sum() > 50
    assert 0 < shown["score"] <= 1
    taken_away = {"frame": 1, "points": [STAR], "labels": [0]}
    assert client.post("/v1/masks", json={"file": clip_id, "region": taken_away}).status_code == 400
    refined = client.post("/v1/masks", json={"file": clip_id, "region": taken_away, "hint": shown["mask"]})
    assert refined.status_code == 200
    assert refined.json()["mask"] != shown["mask"]
    assert refined.json()["score"] != shown["score"]
    same = {"frame": 1, "mask": shown["mask"]}
    assert client.post("/v1/masks", json={"file": clip_id, "region": same}).json() == {**shown, "score": 1.0}


@pytest.mark.parametrize(
    ("region", "told"),
    [
        ({"frame": 9, "points": [[1, 1]]}, "the clip has 4 frames"),
        ({"frame": 0, "points": [[999, 1]]}, "outside the frame"),
        ({"frame": 0, "box": [5, 5, 5, 9]}, "no area"),
        ({"object": "obj1"}, "must show something"),
        ({"seconds": 99, "box": [1, 1, 5, 9]}, "outside"),
        ({"frame": 0, "mask": {"size": [2, 2], "counts": "04"}}, "2x2"),
        ({"frame": 0}, "exactly one of"),
        ("x", "region is 'x'"),
    ],
)
def test_region_that_does_not_fit_is_told_as_everywhere(
    client: TestClient, clip_id: str, region: Any, told: str
) -> None:
    for path, body in (
        ("/v1/masks", {"file": clip_id, "region": region}),
        ("/v1/tracks", {"file": clip_id, "objects": [{"id": "obj1", "sightings": [region]}]}),
    ):
        reply = client.post(path, json=body)
        assert reply.status_code == 400, reply.text
        message = reply.json()["error"]["message"]
        assert told in message
        assert str(clip_id) not in message
        assert "/" not in message.partition("use clip")[0]


def test_tracks_follow_through_the_clip(client: TestClient, clip_id: str, tracked: dict[str, Any]) -> None:
    masklet = Masklet.from_json(tracked)
    assert (masklet.object_id, masklet.num_frames) == ("obj3", 4)
    assert masklet.visible_frames == (0, 1, 2, 3)


def test_tracks_are_streamed_with_progress(client: TestClient, clip_id: str, tracked: dict[str, Any]) -> None:
    sightings = [{"frame": idx, "mask": tracked["frames"][idx]["mask"]} for idx in (0, 3)]
    body = {"file": clip_id, "objects": [{"id": "obj1", "sightings": sightings}], "stream": True}
    rows = [row.removeprefix("data: ") for row in client.post("/v1/tracks", json=body).text.split("\n\n") if row]
    assert rows[-1] == "[DONE]"
    events = [json.loads(row) for row in rows[:-1]]
    assert [event["progress"]["done"] for event in events[:-1]] == [0, 1, 2, 3, 4]
    masklet = Masklet.from_json(events[-1]["masklet"])
    assert masklet.rles[0] is not None


def test_track_requests_are_bounded(client: TestClient, clip_id: str) -> None:
    sighting = {"frame": 0, "box": [1, 1, 9, 9]}
    twice = {"file": clip_id, "objects": [{"id": "obj1", "sightings": [sighting]}] * 2}
    assert "one id" in client.post("/v1/tracks", json=twice).json()["error"]["message"]
    many = {"file": clip_id, "objects": [{"id": "obj1", "sightings": [sighting] * 33}]}
    assert "33 regions" in client.post("/v1/tracks", json=many).json()["error"]["message"]
    assert client.post("/v1/tracks", json={"file": clip_id, "objects": []}).status_code == 400
    assert client.post("/v1/tracks", json={"file": "0" * 64, "objects": twice["objects"][:1]}).status_code == 404


def turn(**changes: Any) -> dict[str, Any]:
    row = {
        "question": "What is <region>?",
        "regions": [{"frame": 0, "points": [STAR], "labels": [1], "object": "obj3"}],
        "text": "It is the red star.",
        "phrases": [{"text": "the red star", "start": 6, "end": 18, "object": "obj3"}],
    }
    return {**row, **changes}


def test_session_goes_out_and_comes_back(client: TestClient, clip_id: str, tracked: dict[str, Any]) -> None:
    body = {"file": clip_id, "format": "session", "turns": [turn()], "masklets": [tracked], "names": {"obj3": "star"}}
    reply = client.post("/v1/exports", json=body)
    assert reply.status_code == 200, reply.text
    assert "filename*=UTF-8''short%20film-session.json" in reply.headers["content-disposition"]
    session = reply.json()
    assert (session["schema"], session["video"]["sha256"]) == ("sama-session/1", clip_id)
    assert session["turns"][0]["raw"] == "It is <p> the red star </p> [SEG]."
    checked = client.post("/v1/sessions", json=session)
    assert checked.status_code == 200, checked.text
    assert checked.json()["masklets"] == [tracked]
    assert checked.json()["names"] == {"obj3": "star"}
    assert checked.json()["turns"] == session["turns"]
    told = client.get("/openapi.json").json()["paths"]["/v1/exports"]["post"]["responses"]["200"]["content"]
    assert told["application/json"] == {"schema": {"$ref": "#/components/schemas/SessionDocument"}}
    session["video"]["sha256"] = "0" * 64
    gone = client.post("/v1/sessions", json=session)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "file_missing")
    assert "0" * 64 in gone.json()["error"]["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"turns": [turn(text="other")]},
        {"turns": [turn(extra=1)]},
        {"turns": ["x"]},
        {"turns": [{}]},
        {"format": "exe"},
        {"names": {"obj3": 4}},
        {"masklets": [{"object": "obj1", "height": 2, "width": 2, "frames": [{"frame": 0, "mask": None}]}]},
        {"masklets": [{}]},
        {"format": "coco", "names": {"obj3": "x\u0000y"}},
        {"format": "coco", "masklets": []},
    ],
)
def test_exports_that_do_not_fit_are_refused(
    client: TestClient, clip_id: str, tracked: dict[str, Any], change: dict[str, Any]
) -> None:
    body = {"file": clip_id, "format": "session", "turns": [], "masklets": [tracked], **change}
    reply = client.post("/v1/exports", json=body)
    assert reply.status_code == 400, reply.text
    assert "\n" not in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("coco", ".json"),
        ("youtube-vis", ".json"),
        ("davis", ".png"),
        ("cvat", "annotations.xml"),
        ("label-studio", ".json"),
    ],
)
def test_masks_go_out_in_other_tools_formats(
    client: TestClient, clip_id: str, tracked: dict[str, Any], name: str, holds: str
) -> None:
    body = {"file": clip_id, "format": name, "masklets": [tracked], "names": {"obj3": "red star"}}
    reply = client.post("/v1/exports", json=body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.testzip() is None
        assert any(entry.endswith(holds) for entry in archive.namelist())
        assert not any(entry.startswith("/") or ".." in entry for entry in archive.namelist())


def test_overlay_is_a_video_of_the_clip(client: TestClient, clip_id: str, tracked: dict[str, Any]) -> None:
    reply = client.post("/v1/exports", json={"file": clip_id, "format": "overlay", "masklets": [tracked]})
    assert reply.headers["content-type"] == "video/mp4"
    overlay = open_video(reply.content)
    assert (overlay.num_frames, overlay.height, overlay.width) == (4, 256, 256)
    assert (overlay.frame(0) != open_video(DEMO_CLIP).frame(0)).any()


def test_exports_leave_no_files_behind(
    client: TestClient, clip_id: str, tracked: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client.post("/v1/exports", json={"file": clip_id, "format": "coco", "masklets": [tracked]})
    client.post("/v1/exports", json={"file": clip_id, "format": "coco", "masklets": []})
    assert list(tmp_path.iterdir()) == []


def test_clicks_between_the_frames_of_a_track_change_nothing() -> None:
    from sama_video.app.server.pointing import known_object
    from sama_video.regions.shapes import Points
    from sama_video.video.clip import Clip

    clip = Clip.from_frames(open_video(DEMO_CLIP).frames(range(4)), fps=24)
    star = Points(frame=1, xy=[STAR])

    def track(disturbed: bool) -> Masklet:
        maker = nano_model().mask_maker(clip, "consistent", 256 << 20)

        def progress(done: int, total: int) -> None:
            if disturbed:
                maker.region_mask(Points(frame=(done * 3) % 4, xy=[STAR]))

        return maker.track([known_object(maker, "obj1", [star])], progress)["obj1"]

    assert track(disturbed=True) == track(disturbed=False)
