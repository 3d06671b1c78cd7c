"""SA-V's own masklets as records: an object pointed at on one frame, and its masks through the clip.

The masklets have no words, so nothing is said of them. Such records teach what a pointed-at region covers, and to keep
to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sama_video.data.building.draft import Draft, PlainTurn, file_clip
from sama_video.data.building.draws import Draws
from sama_video.data.building.wording import found_answer, segment_question
from sama_video.data.findings import Findings, Place
from sama_video.data.licences import TERMS
from sama_video.data.records import Task
from sama_video.data.sources.sav import SavVideo, read_sav
from sama_video.data.stores.store import StoreOptions
from sama_video.dialogue.markup import REGION_TAG

FOLDER: Final = "sav_train"


@dataclass(frozen=True)
class SavEntries:
    """Records of SA-V; an entry is one video with the masklets that people drew.

    Attributes:
        root: Holds the folders `sav_XXX`, or `sav_train` with these, or is one of them.
    """

    root: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[SavVideo]:
        """Videos in the order of their paths."""
        below = self.root / FOLDER
        return read_sav(below if below.is_dir() else self.root, findings)

    def tasks(self, video: SavVideo, findings: Findings) -> list[Task]:
        """One task for each group of masklets."""
        return ["grounding"] * -(-len(video.object_ids) // self.options.expressions_per_record)

    def draft(self, video: SavVideo, number: int, draws: Draws, epoch: int) -> Draft:
        """One group of a video's masklets; all groups of an epoch together are all of them."""
        place = Place(str(video.tracks.path), video.video_id)
        dealt = Draws(self.options.seed, "sav", video.video_id, epoch).shuffled(video.object_ids)
        size = self.options.expressions_per_record
        group = dealt[number * size : (number + 1) * size]
        return Draft(
            record_id=f"{video.video_id}, masklets {', '.join(group)}",
            clip=file_clip(video.clip, self.root, None, place),
            turns=tuple(_turn(masklet, draws) for masklet in group),
            track=video.track,
            place=place,
            source="sav",
            licence=TERMS["sav"].licence,
            task="grounding",
            provenance={"file": video.tracks.path.name, "video": video.video_id},
        )


def _turn(masklet: str, draws: Draws) -> PlainTurn:
    question = segment_question(REGION_TAG, "video", draws)
    return PlainTurn(f"masklet {masklet}", question, found_answer(draws), (masklet,), ((masklet,),))
