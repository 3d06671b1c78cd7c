"""AnnotatedClip: a clip on disk and the labelled objects in it, as every annotation format is read and written."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from sama_video.data.clips import ClipOnDisk, FrameClip
from sama_video.data.findings import Place
from sama_video.dialogue.markup import check_tags, split_question
from sama_video.errors import DataError, DialogueError
from sama_video.regions.masklet import Masklet
from sama_video.video.clip import Clip

MAX_WORDS: Final = 1000
"""Characters of a label or text."""

MAX_NAME_BYTES: Final = 200
"""Of a clip's name; file systems allow some more."""

_OBJECT_ID = re.compile(r"obj([1-9][0-9]{0,8})")
_NO_CHARACTERS: Final = ("Cc", "Cs", "Cn")  # control codes, halves of pairs, and what no standard gives a meaning


@dataclass(frozen=True)
class AnnotatedObject:
    """One object: where it is, and what somebody called it.

    Attributes:
        masklet: Over all frames of the clip; its name is `obj` and a number.
        label: The category, such as `car`.
        text: Words that single it out, such as `the red car on the left`.
        box_frames: Frames on which only a box is known: the mask there is the filled box, to be replaced by tracking.
        is_crowd: The mask covers a group that nobody took apart.
        attributes: Names and values that the annotation tool keeps for it.
    """

    masklet: Masklet
    label: str
    text: str | None = None
    box_frames: tuple[int, ...] = ()
    is_crowd: bool = False
    attributes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if _OBJECT_ID.fullmatch(self.object_id) is None:
            raise DataError(f"object {self.object_id!r} has no usable name; name objects obj1, obj2, ...")
        for words in (self.label, *(() if self.text is None else (self.text,))):
            check_words(words, f"object {self.object_id}")
        unseen = [frame for frame in self.box_frames if frame not in self.masklet.visible_frames]
        if unseen or list(self.box_frames) != sorted(set(self.box_frames)):
            raise DataError(
                f"object {self.object_id} has the box frames {list(self.box_frames)}; "
                "give frames that show it, each once, in order."
            )

    @property
    def object_id(self) -> str:
        """Such as `obj1`."""
        return self.masklet.object_id

    @property
    def number(self) -> int:
        """The number in its name, from 1."""
        found = _OBJECT_ID.fullmatch(self.object_id)
        assert found is not None, "checked when it was built"
        return int(found[1])

    @property
    def is_box_only(self) -> bool:
        """Whether no frame has more than a box."""
        return bool(self.box_frames) and self.box_frames == self.masklet.visible_frames


@dataclass(frozen=True)
class AnnotatedClip:
    """A clip and its objects; building one checks that they agree.

    Attributes:
        name: Unique within its data set; can be the name of a folder.
        clip: Where its frames lie. A frame that nobody labelled is none of its frames.
        height, width: Of its frames as shown, which masks have as well.
        objects: In the order of the file.
        source: Name of the data set.
        licence: SPDX identifier, or the words of the data set's own terms.
    """

    name: str
    clip: ClipOnDisk
    height: int
    width: int
    objects: tuple[AnnotatedObject, ...]
    source: str
    licence: str

    def __post_init__(self) -> None:
        if clip_name(self.name) != self.name:
            raise DataError(f"clip name {self.name!r} cannot name a folder; give letters, digits, blanks, - . or _.")
        ids = [one.object_id for one in self.objects]
        if len(set(ids)) != len(ids):
            raise DataError(f"clip {self.name} has an object twice; give each object one masklet.")
        for one in self.objects:
            found = (one.masklet.num_frames, one.masklet.height, one.masklet.width)
            if found != (self.num_frames, self.height, self.width):
                raise DataError(
                    f"object {one.object_id} of clip {self.name} has {found[0]} frames of {found[1]}x{found[2]}, the "
                    f"clip {self.num_frames} of {self.height}x{self.width}; give one mask a frame, of its size."
                )

    @property
    def num_frames(self) -> int:
        """Frames of the clip."""
        return self.clip.num_frames

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def open(self) -> Clip:
        """Open the frames.

        Raises:
            VideoError: They are not there, or cannot be read.
        """
        return self.clip.open()


def clip_name(text: str) -> str:
    """The name of a clip made from a path or title: what a folder's name cannot hold, on any system, becomes `-`.

    >>> clip_name("val2017/000 1.jpg")
    'val2017-000 1.jpg'
    """
    plain = "".join(char if char.isalnum() or char in " -._+()" else "-" for char in text).strip(" .")
    return plain.encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip(" .") or "clip"


def default_clip_name(clip: ClipOnDisk) -> str:
    """What a clip is called where a file gives it no name: its video's, picture's or folder's."""
    if isinstance(clip, FrameClip):
        return clip_name(clip.stems[0] if clip.num_frames == 1 else clip.path.resolve().name)
    return clip_name(clip.path.stem)


def one_line(value: object, otherwise: str) -> str:
    """Text from a file, such as a licence, on one line and fit to be written; `otherwise` where there is none."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text[:MAX_WORDS].encode("utf-8", "backslashreplace").decode() or otherwise


def check_words(words: str, name: str) -> None:
    """Refuse a label or text that could not stand in a dialogue.

    Raises:
        DataError: It is empty, too long, has characters that are none, or the marks of a dialogue.
    """
    problem = words_problem(words)
    if problem is not None:
        raise DataError(f"{name} is called {words[:60]!r}, which {problem}; give it other words.")


def read_words(value: object, place: Place, key: str = "label") -> str:
    """A label or text from a file, on one line.

    Raises:
        FaultError: `bad_label`.
    """
    if not isinstance(value, str):
        raise place.fault("bad_label", f"the {key} is a {type(value).__name__}")
    words = " ".join(value.split())
    problem = words_problem(words)
    if problem is not None:
        raise place.fault("bad_label", f"the {key} {words[:60]!r} {problem}")
    return words


def words_problem(words: str) -> str | None:
    """Why a label or text could not stand in a dialogue; None if it could."""
    if not words or len(words) > MAX_WORDS:
        return "is empty" if not words else f"has more than {MAX_WORDS} characters"
    if words != " ".join(words.split()) or any(unicodedata.category(char) in _NO_CHARACTERS for char in words):
        return "has line breaks, control codes or blanks at its ends"
    try:
        check_tags(words, 0)
    except DialogueError:
        return "holds a mark that dialogues keep for themselves"
    if any(not isinstance(piece, str) for piece in split_question(words)):
        return "holds the tag of an object"
    return None


class ClipNames:
    """Names given so far; no two may differ in the case of letters alone, for some file systems see none."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def unique(self, name: str) -> str:
        """The name, or one with a number where it is taken."""
        wanted, number = name, 2
        while wanted.casefold() in self._given:
            wanted, number = clip_name(f"{number} {name}"), number + 1
        self._given.add(wanted.casefold())
        return wanted

    def take(self, name: str) -> None:
        """Refuse a second clip of one name.

        Raises:
            DataError: There was one.
        """
        if name.casefold() in self._given:
            raise DataError(f"two clips are called {name}; give each a name of its own.")
        self._given.add(name.casefold())
