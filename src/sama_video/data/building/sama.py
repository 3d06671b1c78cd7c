"""SAMA-239K as records: rounds of a dialogue a few at a time, descriptions a few at a time.

What the published loader does otherwise: it appends a request for masks to questions (`ask_for_masks`), points with
boxes only, on frames that may not show the object (`region_forms`), drops dialogues without masks (`keep_verbal`), and
draws descriptions' questions anew in every process.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sama_video.data.building.draft import Draft, PlainTurn, file_clip
from sama_video.data.building.draws import Draws
from sama_video.data.building.wording import describe_question
from sama_video.data.findings import Findings
from sama_video.data.licences import TERMS
from sama_video.data.records import Task
from sama_video.data.sources.sama import SOURCES, SamaOptions, SamaVideo, read_sama239k
from sama_video.data.sources.sama_samples import (
    DescriptionSample,
    DialogueSample,
    description_samples,
    dialogue_samples,
)
from sama_video.data.sources.sama_turns import SamaTurn
from sama_video.data.stores.store import StoreOptions
from sama_video.dialogue.markup import ask_for_masks, question_from_record

Kind: TypeAlias = Literal["dialogues", "descriptions"]
KINDS: Final[tuple[Kind, ...]] = ("dialogues", "descriptions")


class SamaEntries:
    """Records of SAMA-239K; an entry is one video.

    Args:
        root: The folder `sama239k_data`.
        options: How records are cut and worded.
        kinds: Dialogues, descriptions, or both.
    """

    def __init__(self, root: Path, options: StoreOptions, kinds: tuple[Kind, ...] = KINDS) -> None:
        self.root = root
        self.options = options
        self.kinds = kinds

    def entries(self, findings: Findings) -> Iterator[SamaVideo]:
        """Videos that can be used, in file order."""
        options = self.options
        chosen = SamaOptions(options.sources or SOURCES, options.exclude, options.pad_tracks)
        return read_sama239k(self.root, findings, chosen)

    def tasks(self, video: SamaVideo, findings: Findings) -> list[Task]:
        """What each record of a video teaches."""
        dialogues = len(self._dialogues(video, findings)) if "dialogues" in self.kinds else 0
        descriptions = len(self._descriptions(video)) if "descriptions" in self.kinds else 0
        return [*_tasks("dialogue", dialogues), *_tasks("referring", descriptions)]

    def draft(self, video: SamaVideo, number: int, draws: Draws, epoch: int) -> Draft:
        """One record of a video."""
        dialogues = self._dialogues(video, Findings()) if "dialogues" in self.kinds else []
        is_dialogue = number < len(dialogues)
        if is_dialogue:
            turns = tuple(self._turn(turn) for turn in dialogues[number].turns)
            part = f"turns {dialogues[number].turns[0].round_idx}-{dialogues[number].turns[-1].round_idx}"
        else:
            sample = self._descriptions(video)[number - len(dialogues)]
            turns = tuple(
                PlainTurn(
                    f"object {one.object_number}", describe_question("video", draws), one.text, (one.annotation_id,)
                )
                for one in sample.descriptions
            )
            part = f"objects {sample.descriptions[0].object_number}-{sample.descriptions[-1].object_number}"
        return Draft(
            record_id=f"{video.video}, {part}",
            clip=file_clip(video.clip, self.root, video.stated_size, video.place),
            turns=turns,
            track=video.track,
            place=video.place,
            source=f"SAMA-239K/{video.source}",
            licence=f"{TERMS['SAMA-239K'].licence}; videos: {TERMS[video.source].licence}",
            task="dialogue" if is_dialogue else "referring",
            provenance={"file": video.file.name, "record": video.record.partition(" (")[0], "part": part},
        )

    def _turn(self, turn: SamaTurn) -> PlainTurn:
        question = question_from_record(turn.question)
        if self.options.ask_for_masks and turn.target_ids:
            question = ask_for_masks(question)
        return PlainTurn(f"turn {turn.round_idx}", question, turn.answer, turn.region_ids, turn.target_ids)

    def _dialogues(self, video: SamaVideo, findings: Findings) -> list[DialogueSample]:
        options = self.options
        return list(
            dialogue_samples(
                video, findings, turns_per_sample=options.turns_per_record, keep_verbal=options.keep_verbal
            )
        )

    def _descriptions(self, video: SamaVideo) -> list[DescriptionSample]:
        return list(description_samples(video, descriptions_per_sample=self.options.descriptions_per_record))


def _tasks(task: Task, count: int) -> list[Task]:
    return [task] * count
