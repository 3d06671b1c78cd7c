"""An object while its frames come in one by one; shared by the formats that list regions rather than tracks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sama_video.data.findings import Findings, Place
from sama_video.data.formats.annotated import AnnotatedObject, one_line, read_words
from sama_video.data.mask_entries import FORM_NOTES
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import Rle, area


@dataclass
class Draft:
    """What is known of an object so far."""

    label: str
    text: str | None = None
    is_crowd: bool = False
    attributes: tuple[tuple[str, str], ...] = ()
    masks: dict[int, Rle] = field(default_factory=dict)
    box_frames: set[int] = field(default_factory=set)

    def put(self, frame: int, mask: Rle | None, place: Place, *, is_box: bool = False) -> None:
        """Set the mask of a frame; None or an empty one means that the object is not visible.

        Raises:
            FaultError: `repeated_id`: the frame has a mask already.
        """
        if frame in self.masks:
            raise place.fault("repeated_id", f"the object is on frame {frame} twice")
        if mask is not None and area(mask):
            self.masks[frame] = mask
            if is_box:
                self.box_frames.add(frame)

    def finish(self, number: int, num_frames: int, size: tuple[int, int]) -> AnnotatedObject:
        """The object, named by its number."""
        rles = tuple(self.masks.get(frame) for frame in range(num_frames))
        masklet = Masklet(f"obj{number}", *size, rles, (None,) * num_frames)
        return AnnotatedObject(
            masklet, self.label, self.text, tuple(sorted(self.box_frames)), self.is_crowd, self.attributes
        )


def extras_of(one: AnnotatedObject) -> dict[str, object]:
    """Keys that formats in JSON get beside their own: what other readers pass over, and ours takes back."""
    row: dict[str, object] = {}
    if one.text is not None:
        row["text"] = one.text
    if one.attributes:
        row["attributes"] = dict(one.attributes)
    return row


def read_text(row: Mapping[str, object], place: Place) -> str | None:
    """The text of an object, where its entry has one.

    Raises:
        FaultError: `bad_label`.
    """
    return None if row.get("text") in (None, "") else read_words(row["text"], place, "text")


def read_attributes(value: object) -> tuple[tuple[str, str], ...]:
    """Attributes as other tools write them: an object of text, numbers and truth values; anything else is left out."""
    if not isinstance(value, Mapping):
        return ()
    plain = ((name, one) for name, one in value.items() if isinstance(one, str | int | float))
    return tuple((one_line(name, "-"), one_line(_spelt(one), "")) for name, one in plain)


def object_numbers(ids: Iterable[int]) -> dict[int, int]:
    """The number in each object's name: the file's own number if all are above 0, else its rank.

    >>> object_numbers([7, 3]), object_numbers([0, 4])
    ({3: 3, 7: 7}, {0: 1, 4: 2})
    """
    ordered = sorted(set(ids))
    own = all(0 < one < 10**9 for one in ordered)
    return {one: one if own else rank for rank, one in enumerate(ordered, start=1)}


def note_object(one: AnnotatedObject, findings: Findings, place: Place) -> None:
    """Count what is odd about an object that was read."""
    for reason, detail in _oddities(one):
        findings.note(reason, place.file, place.record, f"{one.object_id} ({one.label}) {detail}")


def note_forms(forms: Iterable[str], findings: Findings, place: Place) -> None:
    """Count masks that came in another form than compressed run lengths."""
    for form in sorted(forms):
        findings.note(form, place.file, place.record, FORM_NOTES[form])


def _spelt(value: str | int | float) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _oddities(one: AnnotatedObject) -> Iterator[tuple[str, str]]:
    if one.box_frames:
        yield "boxes_only", f"has a box and no mask on {len(one.box_frames)} frames"
    if one.is_crowd:
        yield "crowd_region", "is a group that nobody took apart"
    if not one.masklet.visible_frames:
        yield "object_never_visible", "is on no frame"
