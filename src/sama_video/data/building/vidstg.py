"""VidSTG's sentences as records: when something happens, and what an object at a place does.

The set has boxes and no masks, so an object is pointed at by its box and never a target. Sentences are true of what
people were shown, which may be a part of the video; questions about time then say which part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sama_video.data.building.draft import Draft, PlainTurn, file_clip
from sama_video.data.building.draws import Draws
from sama_video.data.building.talks import check_plain
from sama_video.data.building.wording import describe_question, span_words, what_and_when_question, when_question
from sama_video.data.findings import Findings
from sama_video.data.formats.outlines import box_mask
from sama_video.data.licences import TERMS
from sama_video.data.mask_files import Track
from sama_video.data.records import Task
from sama_video.data.sources.vidstg import TimedSentence, VidstgVideo, read_vidstg
from sama_video.data.stores.store import StoreOptions

VIDOR = "vidor"


@dataclass(frozen=True)
class VidstgEntries:
    """Records of a split of VidSTG; an entry is one stretch of one video.

    Attributes:
        root: Holds `annotations` and `vidor`.
    """

    root: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[VidstgVideo]:
        """Stretches with sentences, in file order."""
        return read_vidstg(self.root, self.options.split, self.root / VIDOR, findings)

    def tasks(self, video: VidstgVideo, findings: Findings) -> list[Task]:
        """Temporal for each group of sentences; referring for the objects that statements describe."""
        groups = -(-len(video.sentences) // self.options.expressions_per_record)
        times: list[Task] = ["temporal"] * groups
        return [*times, "referring"] if _described(video) else times

    def draft(self, video: VidstgVideo, number: int, draws: Draws, epoch: int) -> Draft:
        """A group of sentences, or the described objects, each by one of its statements."""
        size = self.options.expressions_per_record
        dealt = Draws(self.options.seed, "vidstg", video.place.record, epoch).shuffled(video.sentences)
        group = dealt[number * size : (number + 1) * size]
        if group:
            turns = [_timed(one, video, draws) for one in group]
        else:
            turns = [_pointed(target, said, draws) for target, said in _described(video).items()]
        clip = file_clip(video.clip, self.root, None, video.place)
        for turn in turns:
            check_plain(turn.answer, video.place.part(turn.name))
        return Draft(
            record_id=f"{video.place.record}, {'times' if group else 'objects'} {number}",
            clip=clip,
            turns=tuple(turns),
            track=lambda target: _boxes(video, target, clip.num_frames),
            place=video.place,
            source="vidstg",
            licence=TERMS["vidstg"].licence,
            task="temporal" if group else "referring",
            provenance={"file": Path(video.place.file).name, "video": video.video},
            labels={one.target_id: one.category for one in video.sentences},
            forms=("box",),
            only_boxes=True,
        )


def _described(video: VidstgVideo) -> dict[str, list[str]]:
    """Statements about each object."""
    found: dict[str, list[str]] = {}
    for one in video.sentences:
        if not one.is_question:
            found.setdefault(one.target_id, []).append(one.text)
    return found


def _timed(one: TimedSentence, video: VidstgVideo, draws: Draws) -> PlainTurn:
    span = video.seconds()
    asked = (what_and_when_question if one.is_question else when_question)(one.text, draws)
    if video.segment != (0, video.num_frames):
        begin, end = (frame / video.fps for frame in video.segment)
        asked = f"Look at the video {span_words(begin, end)}. {asked}"
    told = span_words(*span)
    answer = f"The {one.category}, {told}." if one.is_question else f"{told[:1].upper()}{told[1:]}."
    return PlainTurn(f"sentence {one.text[:40]!r}", asked, answer, spans=(span,))


def _pointed(target: str, statements: list[str], draws: Draws) -> PlainTurn:
    words = " ".join(draws.choice(statements).split()).rstrip(" .")
    return PlainTurn(
        f"object {target}", describe_question("video", draws), f"{words[:1].upper()}{words[1:]}.", (target,)
    )


def _boxes(video: VidstgVideo, target: str, num_frames: int) -> Track:
    """Filled boxes on the frames of the sentences' span."""
    tube = video.tube(target)
    if len(tube) != num_frames:
        raise video.place.fault("track_length_mismatch", f"boxes count {len(tube)} frames, the video has {num_frames}")
    return tuple(None if box is None else box_mask(box, video.size, video.place) for box in tube)
