"""Annotations of other tools as records, without a copy: the dialogues that `sama data import` would write.

    store = open_store("my-coco", "coco")

In the first epoch the records are those of the importer; later ones point at the same objects in other ways. A large
set is better imported once: here every clip is gone through each time the store is opened.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from sama_video.data.building.draft import point_at
from sama_video.data.building.draws import Draws
from sama_video.data.findings import Findings, Place
from sama_video.data.formats import FORMATS
from sama_video.data.formats.annotated import AnnotatedClip
from sama_video.data.formats.dialogues import num_turns, to_records
from sama_video.data.records import DialogueRecord, Task
from sama_video.data.stores.store import RegionForm, StoreOptions
from sama_video.dialogue.turns import RegionPrompt

FORMS: Final[tuple[RegionForm, ...]] = ("point", "box", "mask")


@dataclass(frozen=True)
class AnnotatedEntries:
    """Records of a file or folder in one of `formats.FORMATS`; an entry is one clip.

    Its masks are kept with it, as the format's reader gives them: some hundred bytes for each object and frame.

    Attributes:
        path: The annotation file, or the folder that holds it; pictures lie where the format has them.
    """

    format_name: str
    path: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[AnnotatedClip]:
        """Clips in file order; one in which nothing is ever visible is dropped."""
        for clip in FORMATS[self.format_name].read(self.path, findings):
            if num_turns(clip):
                yield clip
            else:
                place = Place(str(clip.clip.path), clip.name)
                findings.take(place.fault("missing_annotation", "the clip has no object that is visible"))

    def tasks(self, clip: AnnotatedClip, findings: Findings) -> list[Task]:
        """What each record of a clip teaches."""
        return [record.task for record in self._made(clip)]

    def draft(self, clip: AnnotatedClip, number: int, draws: Draws, epoch: int) -> DialogueRecord:
        """One record of a clip, ready as it is."""
        record = next(islice(self._made(clip), number, None))
        return _pointed_anew(record, clip, draws) if epoch else record

    def _made(self, clip: AnnotatedClip) -> Iterator[DialogueRecord]:
        return to_records(clip, self._root(clip), seed=self.options.seed, max_turns=self.options.labels_per_record)

    def _root(self, clip: AnnotatedClip) -> Path:
        """The folder that the annotations lie in; where the pictures lie elsewhere, theirs."""
        own = self.path if self.path.is_dir() else self.path.parent
        on_disk = clip.clip.path
        return own if on_disk.absolute().is_relative_to(own.absolute()) else on_disk.parent


def _pointed_anew(record: DialogueRecord, clip: AnnotatedClip, draws: Draws) -> DialogueRecord:
    """The record with its regions drawn again; where an object has only boxes, they stay."""
    sound = {one.object_id: one.masklet for one in clip.objects if not one.box_frames}

    def pointed(prompt: RegionPrompt) -> RegionPrompt:
        masklet = sound.get(prompt.object_id)
        return prompt if masklet is None else RegionPrompt(point_at(masklet, FORMS, draws), prompt.object_id)

    return replace(
        record, turns=tuple(replace(turn, regions=tuple(map(pointed, turn.regions))) for turn in record.turns)
    )
