import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from sama_video.errors import VideoError
from sama_video.video import open_video


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (12, 6, 8, 3), dtype=np.uint8)


def test_folder_is_read_in_natural_order(tmp_path, pictures):
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"frame{number + 1}.PNG")
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / "._frame1.png").write_text("not a frame either")
    clip = open_video(tmp_path, fps_for_stills=6)
    assert (clip.num_frames, clip.height, clip.width, clip.average_fps) == (12, 6, 8, 6)
    assert clip.times == pytest.approx(np.arange(12) / 6)
    assert (clip.frames([11, 0, 5]) == pictures[[11, 0, 5]]).all()
    assert [idx for idx, _ in clip.stream(11, step=-4)] == [11, 7, 3]


def test_hash_of_a_folder_holds_names_and_contents(tmp_path, pictures):
    Image.fromarray(pictures[0]).save(tmp_path / "a.png")
    first = open_video(tmp_path).sha256
    assert first == open_video(tmp_path).sha256
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    renamed = open_video(tmp_path).sha256
    Image.fromarray(pictures[1]).save(tmp_path / "b.png")
    assert len({first, renamed, open_video(tmp_path).sha256}) == 3


def test_folder_of_mixed_sizes_is_refused(tmp_path, pictures):
    Image.fromarray(pictures[0]).save(tmp_path / "1.png")
    Image.fromarray(pictures[1][:4]).save(tmp_path / "2.png")
    with pytest.raises(VideoError, match=r"2\.png is 8x4, but 1\.png is 8x6"):
        open_video(tmp_path).frame(1)


def test_damaged_image_of_a_folder_is_named(tmp_path, pictures):
    Image.fromarray(pictures[0]).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    with pytest.raises(VideoError, match=r"2\.png is not an image that can be decoded"):
        open_video(tmp_path).frame(1)


def test_image_is_a_clip_of_one_frame(tmp_path, pictures):
    path = tmp_path / "one.png"
    Image.fromarray(pictures[0]).save(path)
    for source in (path, str(path), path.read_bytes()):
        clip = open_video(source)
        assert clip.num_frames == 1
        assert (clip.frame(0) == pictures[0]).all()
        assert clip.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_image_named_like_a_video_is_known_by_its_content(tmp_path, pictures):
    Image.fromarray(pictures[0]).save(tmp_path / "one.png")
    (tmp_path / "one.png").rename(tmp_path / "one.mp4")
    assert (open_video(tmp_path / "one.mp4").frame(0) == pictures[0]).all()


def test_photo_is_turned_upright(tmp_path, pictures):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.fromarray(pictures[0]).save(tmp_path / "photo.tiff", exif=exif)
    assert (open_video(tmp_path / "photo.tiff").frame(0) == np.rot90(pictures[0], -1)).all()


def test_transparent_grey_and_deep_images_become_rgb(pictures):
    def reread(image: Image.Image) -> np.ndarray:
        content = io.BytesIO()
        image.save(content, "PNG")
        return open_video(content.getvalue()).frame(0)

    clear = np.concatenate([pictures[0], np.full((6, 8, 1), 255, np.uint8)], axis=-1)
    clear[:3, :, 3] = 0
    assert (reread(Image.fromarray(clear))[:3] == 0).all()
    assert (reread(Image.fromarray(clear))[3:] == pictures[0][3:]).all()
    grey = pictures[0, :, :, 0]
    assert (reread(Image.fromarray(grey)) == grey[..., None]).all()
    assert (reread(Image.fromarray(grey.astype(np.uint16) * 257)) == grey[..., None]).all()


def test_animated_image_keeps_its_times(tmp_path, pictures):
    first, *others = [Image.fromarray(pixels) for pixels in pictures[:3]]
    first.save(tmp_path / "moving.png", save_all=True, append_images=others, duration=[100, 300, 200])
    clip = open_video(tmp_path / "moving.png")
    assert clip.times == pytest.approx([0, 0.1, 0.4])
    assert clip.duration == pytest.approx(0.6)
    assert (clip.frames([2, 0]) == pictures[[2, 0]]).all()
