"""What `--out DIR` gets: the session, its masklets, and pictures that show both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sama_video.chat.session import ChatSession
from sama_video.chat.storage import save_session, write_json
from sama_video.regions.draw import contact_sheet, draw_frame, palette, tile_scale
from sama_video.regions.masklet import Masklet
from sama_video.regions.sheet import SpokenTurn
from sama_video.video.clip import Clip
from sama_video.video.sampling import uniform_indices
from sama_video.video.writer import write_video

SHEET_FRAMES = 8
Advance = Callable[[int], None]


def write_session(session: ChatSession, folder: Path, advance: Advance) -> None:
    """Write `answers.json`, masklets, `overlay.mp4` and `overlay.png` of a conversation."""
    save_session(session, folder)
    masklets = {name: session.masklet(name) for name in session.book.object_ids}
    names = {name: f"{name} {session.book[name].name or ''}".strip() for name in masklets}
    spoken = [turn.spoken() for turn in session.dialogue]
    write_overlays(session.clip, masklets, names, spoken, folder, advance)


def write_tracks(clip: Clip, masklets: Mapping[str, Masklet], folder: Path, advance: Advance) -> None:
    """Write masklets without a conversation, and the overlays that show them."""
    (folder / "masklets").mkdir(parents=True, exist_ok=True)
    for name, masklet in masklets.items():
        write_json(folder / "masklets" / f"{name}.json", masklet.to_json())
    write_overlays(clip, masklets, {name: name for name in masklets}, (), folder, advance)


def write_overlays(
    clip: Clip,
    masklets: Mapping[str, Masklet],
    labels: Mapping[str, str],
    spoken: Sequence[SpokenTurn],
    folder: Path,
    advance: Advance,
) -> None:
    """Write `overlay.mp4`, every frame with its masks, and `overlay.png`, some frames and the dialogue."""

    def frames() -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        for frame_idx, frame in clip.stream():
            advance(1)
            yield draw_frame(frame, _masks_on(masklets, frame_idx), labels=labels)

    source = Path(clip.source)
    write_video(
        folder / "overlay.mp4",
        frames(),
        times=clip.times,
        last_frame_seconds=clip.last_frame_seconds,
        audio_from=source if clip.has_audio and source.is_file() else None,
    )
    _write_sheet(clip, masklets, labels, spoken, folder / "overlay.png")


def _write_sheet(
    clip: Clip,
    masklets: Mapping[str, Masklet],
    labels: Mapping[str, str],
    spoken: Sequence[SpokenTurn],
    path: Path,
) -> None:
    chosen = uniform_indices(clip.num_frames, SHEET_FRAMES)
    scale = tile_scale(len(chosen), clip.height, clip.width)
    overlays = [
        draw_frame(frame, _masks_on(masklets, frame_idx), labels=labels, scale=scale)
        for frame_idx, frame in zip(chosen, clip.frames(chosen), strict=True)
    ]
    titles = [f"frame {frame_idx} · {clip.times[frame_idx]:.2f} s" for frame_idx in chosen]
    sheet = contact_sheet(overlays, titles, spoken, {name: palette(name) for name in masklets})
    partial = path.with_name(f".{path.name}.partial.png")
    Image.fromarray(sheet).save(partial)
    partial.replace(path)


def _masks_on(masklets: Mapping[str, Masklet], frame_idx: int) -> dict[str, np.ndarray]:
    return {name: masklet.mask(frame_idx) for name, masklet in masklets.items() if masklet.rles[frame_idx] is not None}
