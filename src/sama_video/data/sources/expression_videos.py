"""A video with referring expressions and the masks they mean: what the five sets of that kind have in common."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from sama_video.data.clips import ClipOnDisk, FrameClip, frame_file_name, safe_path
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.json_items import read_document
from sama_video.data.mask_files import Track, TrackSource
from sama_video.data.sources.fields import need


@dataclass(frozen=True)
class Expression:
    """Words that single out objects of a video.

    Attributes:
        expression_id: The file's key; a video's expressions come in the file's order.
        object_ids: Objects meant, as the file numbers them.
        annotation_ids: Their masks, for `ExpressionVideo.track`; the expression means the union. Empty where nothing is
            meant, and in a split without ground truth.
        type_id: ReVOS: 0 referring, 1 reasoning, 2 without target; None elsewhere.
        short_texts: Ref-SAV: shorter ways to say it.
    """

    expression_id: str
    text: str
    object_ids: tuple[str, ...]
    annotation_ids: tuple[str, ...]
    type_id: int | None = None
    short_texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExpressionVideo:
    """A video and all that is said about its objects.

    Attributes:
        file: The expression file.
        video: The file's key; ReVOS' keys contain slashes.
        stated_size: Height and width as the file has them, else None.
        tracks: Where the masks come from; see `track`. None in a split without ground truth.
    """

    file: Path
    video: str
    clip: ClipOnDisk
    expressions: tuple[Expression, ...]
    stated_size: tuple[int, int] | None
    tracks: TrackSource | None = field(repr=False, compare=False)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames: the file's, else the first picture's."""
        return self.stated_size or self.clip.size

    @property
    def height(self) -> int:
        """Height of the frames in pixels."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Width of the frames in pixels."""
        return self.size[1]

    @property
    def place(self) -> Place:
        """Names the video in a finding."""
        return Place(str(self.file), self.video)

    @property
    def annotation_ids(self) -> tuple[str, ...]:
        """Annotations that some expression means, each once."""
        return tuple(dict.fromkeys(known for words in self.expressions for known in words.annotation_ids))

    def without(self, annotation_ids: Set[str]) -> "ExpressionVideo":
        """The video less the expressions that mean one of these annotations."""
        kept = (words for words in self.expressions if annotation_ids.isdisjoint(words.annotation_ids))
        return replace(self, expressions=tuple(kept))

    def track(self, annotation_id: str) -> Track:
        """One annotation's masks, one entry for each frame of the clip; None or a mask without pixels: not visible.

        Raises:
            FaultError: There is no such track, or it is damaged, of another length or of another size.
        """
        if self.tracks is None:
            raise self.place.fault("missing_annotation", "the split has no ground truth")
        try:
            return self.tracks.fitted(annotation_id, self.clip.num_frames, self.size)
        except FaultError as error:
            raise error.of(self.video) from None


def read_meta(path: Path, findings: Findings) -> dict[str, object]:
    """The videos of a `meta_expressions.json`, by name, in its order.

    Raises:
        FaultError: The file is missing, damaged or of another form.
    """
    videos: dict[str, object] = need(read_document(path, findings), "videos", dict, Place(str(path)))
    return videos


def read_videos(
    path: Path,
    folder_of: Callable[[str, Place], tuple[Path, str]],
    videos: Mapping[str, object],
    tracks: TrackSource | None,
    findings: Findings,
    *,
    numbers: Mapping[tuple[str, str], str] | None = None,
) -> Iterator[ExpressionVideo]:
    """Make what a `meta_expressions.json` says into videos; those without pictures and what lacks its masks is dropped.

    Args:
        path: The file.
        folder_of: Root and folder below it of a video's pictures.
        videos: From `read_meta`, in the order wanted.
        tracks: Their masks.
        findings: Takes what is dropped.
        numbers: Annotation of each (video, expression) where the file has none.
    """
    for name, entry in videos.items():
        place = Place(str(path), name)
        try:
            root, folder = folder_of(name, place)
            names = need(entry, "frames", list, place)
            if not names:
                raise place.fault("schema_error", "the video has no frames")
            clip = FrameClip(root, folder, tuple(frame_file_name(frame, place) for frame in names))
            expressions = _expressions(name, entry, place, findings, numbers, with_masks=tracks is not None)
            video = ExpressionVideo(path, name, clip, expressions, _stated_size(entry), tracks)
        except FaultError as error:
            findings.take(error)
            continue
        yield _without_missing(video, findings)


def frames_in(*roots: Path) -> Callable[[str, Place], tuple[Path, str]]:
    """Find a video's pictures in the first of these folders that has a folder of its name."""

    def find(name: str, place: Place) -> tuple[Path, str]:
        for root in roots:
            if safe_path(root, name, place.file, place.record).is_dir():
                return root, name
        raise place.fault("missing_video", f"there is no folder {name} in {' or '.join(str(root) for root in roots)}")

    return find


def _expressions(
    video: str,
    entry: object,
    place: Place,
    findings: Findings,
    numbers: Mapping[tuple[str, str], str] | None,
    *,
    with_masks: bool,
) -> tuple[Expression, ...]:
    found = []
    for expression_id, words in need(entry, "expressions", dict, place).items():
        here = place.part(f"expression {expression_id}")
        try:
            number = None if numbers is None else numbers[video, expression_id]
            found.append(_expression(expression_id, words, here, number, with_masks=with_masks))
        except FaultError as error:
            findings.take(error)
    return tuple(found)


def _expression(expression_id: str, words: object, place: Place, number: str | None, *, with_masks: bool) -> Expression:
    text = need(words, "exp", str, place)
    assert isinstance(words, Mapping)
    annotation_ids: tuple[str, ...] = ()
    if number is not None:
        annotation_ids = (number,)
    elif with_masks:
        annotation_ids = ids_of(need(words, "anno_id", list | int | str, place), place)
    type_id = words.get("type_id")
    return Expression(
        expression_id,
        text,
        ids_of(words.get("obj_id", []), place),
        annotation_ids,
        type_id if isinstance(type_id, int) else None,
    )


def ids_of(value: object, place: Place) -> tuple[str, ...]:
    """Ids as text, from a list of them or a lone one.

    Raises:
        FaultError: `schema_error`.
    """
    ids: Sequence[object] = value if isinstance(value, list) else [value]
    if not all(isinstance(one, int | str) and not isinstance(one, bool) for one in ids):
        raise place.fault("schema_error", f"{value!r} is no list of ids")
    return tuple(str(one) for one in ids)


def _stated_size(entry: object) -> tuple[int, int] | None:
    assert isinstance(entry, Mapping)
    height, width = entry.get("height"), entry.get("width")
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None


def _without_missing(video: ExpressionVideo, findings: Findings) -> ExpressionVideo:
    tracks = video.tracks
    if tracks is None:
        return video
    gone = {annotation_id for annotation_id in video.annotation_ids if annotation_id not in tracks}
    for annotation_id in sorted(gone):
        error = tracks.place(annotation_id).fault("missing_annotation", "there is no such track")
        findings.take(error.of(video.video))
    return video.without(gone) if gone else video
