"""Videos with referring expressions as records: a few expressions of one video at a time.

The published loader draws five expressions of a video with replacement at each visit, so some are never seen. Here an
epoch deals out all of them, in groups that differ from epoch to epoch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sama_video.data.building.draft import NOTHING, Draft, PlainTurn, file_clip
from sama_video.data.building.draws import Draws
from sama_video.data.building.wording import absent_answer, found_answer, segment_question
from sama_video.data.findings import Findings
from sama_video.data.licences import TERMS
from sama_video.data.records import Task
from sama_video.data.sources.expression_videos import Expression, ExpressionVideo
from sama_video.data.stores.store import StoreOptions
from sama_video.errors import DataError

ReadVideos: TypeAlias = Callable[[Path, str, Findings], Iterator[ExpressionVideo]]
"""Path of a data set, split, and where faults go."""


@dataclass(frozen=True)
class ExpressionEntries:
    """Records of a set of expressions; an entry is one video.

    Attributes:
        source: As `licences.TERMS` names it.
        read: Gives the videos of a split.
        path: Of the set, as `read` takes it.
    """

    source: str
    read: ReadVideos
    path: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[ExpressionVideo]:
        """Videos with expressions, in file order.

        Raises:
            DataError: The split has no ground truth.
        """
        for video in self.read(self.path, self.options.split, findings):
            if video.tracks is None:
                raise DataError(
                    f"{video.file}: this split has no masks, for its ground truth is kept on a server; "
                    "give another split, such as train."
                )
            yield video

    def tasks(self, video: ExpressionVideo, findings: Findings) -> list[Task]:
        """One task for each group of expressions."""
        groups = -(-len(self._kept(video)) // self.options.expressions_per_record)
        return ["grounding"] * groups

    def draft(self, video: ExpressionVideo, number: int, draws: Draws, epoch: int) -> Draft:
        """One group of a video's expressions; all groups of an epoch together are all expressions."""
        dealt = Draws(self.options.seed, self.source, video.video, epoch).shuffled(self._kept(video))
        size = self.options.expressions_per_record
        group = dealt[number * size : (number + 1) * size]
        return Draft(
            record_id=f"{video.video}, expressions {', '.join(one.expression_id for one in group)}",
            clip=file_clip(video.clip, self.path, video.stated_size, video.place),
            turns=tuple(self._turn(one, draws) for one in group),
            track=video.track,
            place=video.place,
            source=self.source,
            licence=TERMS[self.source].licence,
            task="grounding",
            provenance={"file": video.file.name, "video": video.video},
        )

    def _kept(self, video: ExpressionVideo) -> list[Expression]:
        keeps_absent = self.options.absent != "drop"
        return [one for one in video.expressions if one.annotation_ids or keeps_absent]

    def _turn(self, one: Expression, draws: Draws) -> PlainTurn:
        texts = (one.text, *one.short_texts)
        question = segment_question(draws.choice(texts), "video", draws)
        name = f"expression {one.expression_id}"
        if one.annotation_ids:
            return PlainTurn(name, question, found_answer(draws), targets=(one.annotation_ids,))
        if self.options.absent == "say":
            return PlainTurn(name, question, absent_answer("video", draws))
        return PlainTurn(name, question, found_answer(draws), targets=((NOTHING,),))
