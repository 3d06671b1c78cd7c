"""From a record to what is trained on at once: a few turns that form one dialogue, a few descriptions."""

from collections.abc import Iterator
from dataclasses import dataclass

from sama_video.data.findings import Findings
from sama_video.data.sources.sama import SamaVideo
from sama_video.data.sources.sama_turns import SamaDescription, SamaTurn

TURNS_PER_SAMPLE = 4
DESCRIPTIONS_PER_SAMPLE = 3


@dataclass(frozen=True)
class DialogueSample:
    """Turns of one record that are learnt as one dialogue."""

    video: SamaVideo
    turns: tuple[SamaTurn, ...]

    @property
    def num_segs(self) -> int:
        """Mask tokens of all answers."""
        return sum(len(turn.target_ids) for turn in self.turns)


@dataclass(frozen=True)
class DescriptionSample:
    """Descriptions of one record that are learnt together, a turn each."""

    video: SamaVideo
    descriptions: tuple[SamaDescription, ...]


def dialogue_samples(
    video: SamaVideo,
    findings: Findings,
    *,
    turns_per_sample: int = TURNS_PER_SAMPLE,
    keep_verbal: bool = True,
) -> Iterator[DialogueSample]:
    """Cut a record's rounds into samples of so many consecutive ones; a dropped round leaves its sample shorter.

    Args:
        video: The record.
        findings: Takes a note for each sample that is words only.
        turns_per_sample: Rounds cut off at a time.
        keep_verbal: Keep samples without any mask; the published loader drops them.
    """
    for begin in range(0, video.num_rounds, turns_per_sample):
        turns = tuple(turn for turn in video.turns if begin <= turn.round_idx < begin + turns_per_sample)
        sample = DialogueSample(video, turns)
        if turns and not sample.num_segs:
            last = turns[-1].round_idx
            detail = f"turns {turns[0].round_idx} to {last} have no mask between them"
            findings.note("chunk_without_seg", str(video.file), video.record, detail)
        if turns and (keep_verbal or sample.num_segs):
            yield sample


def description_samples(
    video: SamaVideo, *, descriptions_per_sample: int = DESCRIPTIONS_PER_SAMPLE
) -> Iterator[DescriptionSample]:
    """Group a record's descriptions, in their order."""
    for begin in range(0, len(video.descriptions), descriptions_per_sample):
        yield DescriptionSample(video, video.descriptions[begin : begin + descriptions_per_sample])
