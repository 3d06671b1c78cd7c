"""A still picture that a data file names: found below its root, opened as a clip of one frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sama_video.data.clips import safe_path
from sama_video.data.findings import Place
from sama_video.errors import VideoError
from sama_video.video.clip import Clip
from sama_video.video.reader import open_video


@dataclass(frozen=True)
class Picture:
    """A picture file.

    Attributes:
        size: Height and width that the data file tells and its masks have.
        place: The entry that names it.
    """

    path: Path
    size: tuple[int, int]
    place: Place

    def open(self) -> Clip:
        """Decode the picture.

        Raises:
            FaultError: It cannot be decoded, or has another size than the masks that belong to it.
        """
        try:
            clip = open_video(self.path)
        except VideoError as error:
            raise self.place.fault("unreadable_frame", str(error)) from None
        if (clip.height, clip.width) != self.size:
            told = f"{self.size[0]}x{self.size[1]}"
            raise self.place.fault(
                "mask_size_mismatch", f"{self.path.name} is {clip.height}x{clip.width}, its entry says {told}"
            )
        return clip


def find_picture(root: Path, folders: Sequence[str], name: str, size: tuple[int, int], place: Place) -> Picture:
    """The picture of that name in the first of the folders that has it.

    Args:
        root: The data set's root; a folder may lie beside it.
        folders: Relative to the root.
        name: As the data file has it.

    Raises:
        FaultError: None has it, or the name leaves its folder.
    """
    for folder in folders:
        path = safe_path(root / folder, name, place.file, place.record)
        if path.is_file():
            return Picture(path, size, place)
    raise place.fault("missing_frame", f"{name} is in none of {', '.join(folders)}")
