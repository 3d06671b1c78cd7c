import hashlib
import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sama_video.app.server.probe import Found, ProbeLimits
from sama_video.app.server.settings import Limits
from sama_video.errors import VideoError


def upload(server: Any, content: bytes, name: str = "my clip.mp4") -> Any:
    return server.client.post("/v1/files", files={"file": (name, content, "video/mp4")}, data={"purpose": "user_data"})


def test_upload_is_told_by_its_hash(server: Any, video: bytes) -> None:
    reply = upload(server, video)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["id"] == hashlib.sha256(video).hexdigest()
    assert (body["object"], body["status"], body["filename"], body["bytes"]) == (
        "file",
        "processed",
        "my clip.mp4",
        len(video),
    )
    found = body["video"]
    assert (found["frames"], found["height"], found["width"], found["has_audio"]) == (6, 32, 48, False)
    assert found["times"] == pytest.approx([place / 6 for place in range(6)], abs=1e-6)
    assert found["seconds"] == pytest.approx(1.0)
    assert upload(server, video).json()["id"] == body["id"]
    assert [row["id"] for row in server.client.get("/v1/files").json()["data"]] == [body["id"]]
    assert server.client.get(f"/v1/files/{body['id']}").json() == body


def test_content_comes_back_whole_and_in_parts(server: Any, video: bytes) -> None:
    clip_id = server.file(video)
    whole = server.client.get(f"/v1/files/{clip_id}/content")
    assert whole.content == video
    assert whole.headers["content-type"] == "video/mp4"
    part = server.client.get(f"/v1/files/{clip_id}/content", headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, video[4:12])
    beyond = server.client.get(f"/v1/files/{clip_id}/content", headers={"Range": f"bytes={len(video) + 5}-"})
    assert beyond.status_code == 416


def test_frame_is_exactly_that_one(server: Any, make_video: Any) -> None:
    clip_id = server.file(make_video(frames=4))
    stored = server.store.open(clip_id)
    for idx in (3, 0):
        reply = server.client.get(f"/v1/files/{clip_id}/frames/{idx}")
        assert reply.headers["content-type"] == "image/jpeg"
        assert "immutable" in reply.headers["cache-control"]
        picture = np.asarray(Image.open(io.BytesIO(reply.content)), dtype=np.float32)
        errors = [np.abs(picture - stored.frame(other)).mean() for other in range(4)]
        assert int(np.argmin(errors)) == idx
    small = Image.open(io.BytesIO(server.client.get(f"/v1/files/{clip_id}/frames/0?width=12").content))
    assert small.size == (12, 8)
    assert server.client.get(f"/v1/files/{clip_id}/frames/4").status_code == 404
    assert server.client.get(f"/v1/files/{clip_id}/frames/-1").status_code == 400
    assert server.client.get(f"/v1/files/{clip_id}/frames/0?width=0").status_code == 400


def test_deleted_file_is_gone(server: Any, video: bytes) -> None:
    clip_id = server.file(video)
    assert server.client.delete(f"/v1/files/{clip_id}").json() == {"id": clip_id, "object": "file", "deleted": True}
    assert server.stage.forgotten == [clip_id]
    for reply in (server.client.get(f"/v1/files/{clip_id}"), server.client.delete(f"/v1/files/{clip_id}")):
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "file_missing")
    assert server.client.get(f"/v1/files/{clip_id}/content").status_code == 404


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "%00", "a" * 64, "A" * 64, "%2e%2e%2fx"])
def test_no_id_is_a_path(server: Any, name: str) -> None:
    for ending in ("", "/content", "/frames/0"):
        assert server.client.get(f"/v1/files/{name}{ending}").status_code in (400, 404, 405)


@pytest.mark.parametrize(
    ("name", "shown"), [("../../x/evil.mp4", "evil.mp4"), ("C:\\x\\y.mp4", "y.mp4"), ("a\x07\u202eb.mp4", "ab.mp4")]
)
def test_sender_s_name_is_no_path(server: Any, video: bytes, name: str, shown: str) -> None:
    assert server.store.put(io.BytesIO(video), name).filename == shown


def everything(folder: Any) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_refused_upload_leaves_nothing(server: Any, video: bytes, tmp_path: Any) -> None:
    for content in (b"", b"no video at all", video[: len(video) // 2], b"\0" * 5000):
        reply = upload(server, content)
        assert reply.status_code == 400, reply.text
        assert str(tmp_path) not in reply.text
    assert everything(tmp_path / "data") == []


def test_limits_of_clips(make_server: Any, make_video: Any) -> None:
    server = make_server(limits=Limits(clip_pixels=40 * 40, clip_frames=5, clip_seconds=0.5, file_bytes=200_000))
    assert "40x48" not in upload(server, make_video(frames=2)).text
    for made, told in (
        (make_video(frames=2, height=64, width=64), "more than the 1600 pixels"),
        (make_video(frames=6), "more than 5 frames"),
        (make_video(frames=5), "takes 0.5 s"),
    ):
        reply = upload(server, made)
        assert reply.status_code == 400
        assert told in reply.json()["error"]["message"]


def test_too_large_a_file_is_413(make_server: Any, video: bytes, tmp_path: Any) -> None:
    server = make_server(limits=Limits(file_bytes=1000))
    reply = upload(server, video[:1200])
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "file_too_large")
    assert upload(server, b"x" * 200_000).status_code == 413
    assert everything(tmp_path / "data") == []


def test_quota_drops_the_least_recently_used(make_server: Any, make_video: Any) -> None:
    clips = [make_video(seed=seed) for seed in range(3)]
    server = make_server(quota_bytes=len(clips[0]) + len(clips[1]) + len(clips[2]) // 2)
    first, second = (server.file(clip) for clip in clips[:2])
    import os

    for place, clip_id in enumerate((second, first)):  # the second was used longer ago
        note = server.store.path(clip_id).with_suffix(".json")
        os.utime(note, (time.time() - 50 + place, time.time() - 50 + place))
    third = server.file(clips[2])
    assert {stored.id for stored in server.store} == {first, third}
    with server.store.in_use(first), server.store.in_use(third):
        reply = upload(server, clips[1])
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "storage")
    assert upload(server, clips[1]).status_code == 200


def test_unused_clips_expire(make_server: Any, video: bytes) -> None:
    import os

    server = make_server(max_age_seconds=100)
    clip_id = server.file(video)
    server.store.sweep()
    assert len(list(server.store)) == 1
    note = server.store.path(clip_id).with_suffix(".json")
    os.utime(note, (time.time() - 101, time.time() - 101))
    server.store.sweep()
    assert list(server.store) == []
    assert not server.store._content(clip_id).exists()


def test_leftovers_of_a_killed_server_are_cleared(server: Any, video: bytes, tmp_path: Any) -> None:
    import os

    clip_id = server.file(video)
    partial = tmp_path / "data" / "partial" / "half"
    partial.write_bytes(b"half")
    orphan = tmp_path / "data" / "clips" / "00" / ("0" * 64)
    orphan.parent.mkdir()
    orphan.write_bytes(b"content without a note")
    assert server.client.get(f"/v1/files/{'0' * 64}").status_code == 404
    for path in (partial, orphan):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    server.store.sweep()
    assert not partial.exists()
    assert not orphan.exists()
    assert server.store.get(clip_id).id == clip_id


def test_disk_that_is_full_is_no_500(server: Any, video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    reply = upload(server, video)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "storage")


def test_upload_of_other_kinds(server: Any, video: bytes) -> None:
    assert server.client.post("/v1/files", content=video, headers={"Content-Type": "video/mp4"}).status_code == 415
    assert server.client.post("/v1/files", files={"other": video}).status_code == 400
    assert server.client.post("/v1/files", data={"file": "text"}, files={"x": b"y"}).status_code == 400
    broken = server.client.post("/v1/files", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert broken.status_code == 400
    border = server.client.post(
        "/v1/files", content=b"x" * 100, headers={"Content-Type": "multipart/form-data; boundary=a"}
    )
    assert border.status_code == 400


def test_still_picture_is_a_clip_of_one_frame(server: Any) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, "PNG")
    body = upload(server, file.getvalue(), "x.png").json()
    assert (body["video"]["frames"], body["video"]["width"]) == (1, 20)
    assert server.client.get(f"/v1/files/{body['id']}/content").headers["content-type"] == "image/png"


def test_demo_comes_with_questions(server: Any) -> None:
    body = server.client.get("/v1/demo").json()
    assert body["file"]["video"]["frames"] == 96
    assert len(body["questions"]) == 3
    assert body["questions"][0]["regions"][0]["frame"] == 0


def test_store_counts_what_it_holds(server: Any, video: bytes) -> None:
    server.file(video)
    assert server.store.bytes == len(video)


def test_a_judge_that_refuses_is_believed(tmp_path: Any, video: bytes) -> None:
    from sama_video.app.server.files import ClipStore

    def refuse(_path: Any, _limits: ProbeLimits) -> Found:
        raise VideoError("no.")

    limits = ProbeLimits(1, 1, 1, 1, 1)
    store = ClipStore(
        tmp_path / "s", quota_bytes=10**9, max_file_bytes=10**9, max_age_seconds=9, limits=limits, check=refuse
    )
    with pytest.raises(VideoError):
        store.put(io.BytesIO(video))
    assert everything(tmp_path / "s") == []
