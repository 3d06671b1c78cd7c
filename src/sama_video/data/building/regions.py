"""Regions that are talked about, as records: Osprey's outlines in pictures, VideoRefer's marked objects in videos."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sama_video.data.building.draft import Draft, PlainTurn, file_clip
from sama_video.data.building.draws import Draws
from sama_video.data.building.talks import check_plain
from sama_video.data.building.wording import SHORT_ANSWER, describe_question, named_regions
from sama_video.data.findings import FaultError, Findings
from sama_video.data.licences import TERMS
from sama_video.data.mask_files import Track
from sama_video.data.record_clips import FileClip
from sama_video.data.records import Task
from sama_video.data.sources.osprey import FILES, FOLDER, TalkedRegions, read_osprey, region_numbers
from sama_video.data.sources.videorefer_700k import ReferTalk, annotation_files, read_videorefer_700k
from sama_video.data.stores.store import StoreOptions
from sama_video.dialogue.markup import REGION_TAG
from sama_video.regions.rle import Rle

OSPREY_PARTS: Final = {file.removeprefix("osprey_").removesuffix(".json").replace("_", "-"): file for file in FILES}
"""Each file by a short name."""

SHORT_FILES: Final = ("osprey_short_form.json",)
_BRACKETED: Final = re.compile(r"<(region[0-9]+)>")
_OWN_NAME: Final = re.compile(r"^region[0-9]+\s*:\s*")


@dataclass(frozen=True)
class OspreyEntries:
    """Records of Osprey-724K; an entry is one picture of one of its files.

    Regions are outlines, of parts of things too, which a box would not tell apart; so they are pointed at by masks. A
    conversation speaks of "region2", so its first question names all of them; described regions are asked for one by
    one.

    Attributes:
        files: Some of `osprey.FILES`; of several, those that are not there are passed over.
    """

    files: Sequence[str]
    root: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[TalkedRegions]:
        """Pictures, file by file."""
        there = [file for file in self.files if (self.root / FOLDER / file).is_file()]
        for file in there or self.files:
            yield from read_osprey(self.root, file, findings)

    def tasks(self, found: TalkedRegions, findings: Findings) -> list[Task]:
        """One for a conversation, one for each group of descriptions."""
        groups = -(-len(found.descriptions) // self.options.descriptions_per_record)
        return ["referring"] * (groups or 1)

    def draft(self, found: TalkedRegions, number: int, draws: Draws, epoch: int) -> Draft:
        """A conversation, or a group of descriptions; what needs a damaged region is left out."""
        size = self.options.descriptions_per_record
        chosen = range(len(found.segmentations))
        if found.descriptions:
            chosen = chosen[number * size : (number + 1) * size]
        converted: set[str] = set()
        masks, faults = _masks(found, chosen, converted)
        if found.descriptions:
            turns, more = _descriptions(found, masks, draws)
        else:
            turns, more = _conversation(found, masks)
        picture, file = found.picture, Path(found.place.file).name
        return Draft(
            record_id=f"{file} {found.place.record}" + (f", part {number}" if found.descriptions else ""),
            clip=FileClip(picture.path.name, 1, *picture.size, root=picture.path.parent),
            turns=tuple(turns),
            track=lambda annotation: (masks[int(annotation)],),
            place=found.place,
            source="osprey",
            licence=TERMS["osprey"].licence,
            task="referring",
            provenance={"file": file, "record": found.place.record or ""},
            faults=(*faults, *more),
            forms=("mask",),
            converted=converted,
        )


def _masks(found: TalkedRegions, chosen: Sequence[int], converted: set[str]) -> tuple[dict[int, Rle], list[FaultError]]:
    masks: dict[int, Rle] = {}
    faults: list[FaultError] = []
    for idx in chosen:
        try:
            masks[idx] = found.mask(idx, converted)
        except FaultError as error:
            faults.append(error)
    return masks, faults


def _conversation(found: TalkedRegions, masks: dict[int, Rle]) -> tuple[list[PlainTurn], list[FaultError]]:
    """Turns about sound regions, all of which the first one names."""
    asks_short = Path(found.place.file).name in SHORT_FILES
    turns: list[PlainTurn] = []
    faults: list[FaultError] = []
    for one in found.turns:
        name = f"turn {one.round_idx}"
        place = found.place.part(name)
        question, answer = _unbracketed(one.question), _unbracketed(one.answer)
        try:
            damaged = set(region_numbers(f"{one.question} {one.answer}")) - masks.keys()
            if damaged or not masks:
                raise place.fault("prompt_never_visible", f"region {min(damaged, default=0) + 1} cannot be used")
            check_plain(question, place)
            check_plain(answer, place)
        except FaultError as error:
            faults.append(error)
            continue
        question += SHORT_ANSWER if asks_short else ""
        if turns:
            turns.append(PlainTurn(name, question, answer))
        else:
            lead = named_regions([idx + 1 for idx in masks], "image")
            turns.append(PlainTurn(name, f"{lead} {question}", answer, tuple(map(str, masks))))
    return turns, faults


def _descriptions(
    found: TalkedRegions, masks: dict[int, Rle], draws: Draws
) -> tuple[list[PlainTurn], list[FaultError]]:
    """A turn for each sound region; a text that speaks of it by number has the question name it so."""
    asks_short = Path(found.place.file).name in SHORT_FILES
    turns: list[PlainTurn] = []
    faults: list[FaultError] = []
    for idx in masks:
        answer = _OWN_NAME.sub("", _unbracketed(found.descriptions[idx]))
        question = describe_question("image", draws)
        if region_numbers(answer):
            question = question.replace(REGION_TAG, f"region{idx + 1} {REGION_TAG}")
        try:
            check_plain(answer, found.place.part(f"region {idx}"))
        except FaultError as error:
            faults.append(error)
            continue
        question += SHORT_ANSWER if asks_short else ""
        turns.append(PlainTurn(f"region {idx}", question, answer, (str(idx),)))
    return turns, faults


def _unbracketed(text: str) -> str:
    """`<region1>` as `region1`; every other bracket stays."""
    return _BRACKETED.sub(r"\1", text)


@dataclass(frozen=True)
class VideoReferEntries:
    """Records of VideoRefer-700K; an entry is one conversation, and one record.

    Attributes:
        path: The folder of its files, or one of them; videos are named relative to the folder.
    """

    path: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[ReferTalk]:
        """Conversations, file by file."""
        for file in annotation_files(self.path, findings):
            yield from read_videorefer_700k(file, file.parent, findings)

    def tasks(self, talk: ReferTalk, findings: Findings) -> list[Task]:
        """Referring, where every question points at something."""
        return ["referring" if all(REGION_TAG in turn.question for turn in talk.turns) else "dialogue"]

    def draft(self, talk: ReferTalk, number: int, draws: Draws, epoch: int) -> Draft:
        """The conversation; objects are masklets that show themselves where the file has a mask."""
        turns: list[PlainTurn] = []
        faults: list[FaultError] = []
        pointed = 0
        for turn in talk.turns:
            count = turn.question.count(REGION_TAG)
            regions = tuple(str(idx) for idx in range(pointed, pointed + count))
            pointed += count
            name = f"turn {turn.round_idx}"
            try:
                check_plain(turn.question, talk.place.part(name), count)
                check_plain(turn.answer, talk.place.part(name))
                turns.append(PlainTurn(name, turn.question, turn.answer, regions))
            except FaultError as error:
                faults.append(error)
        file = Path(talk.place.file)
        return Draft(
            record_id=f"{file.name} {talk.item_id} ({talk.place.record})",
            clip=file_clip(talk.clip, file.parent, None, talk.place),
            turns=tuple(turns),
            track=lambda annotation: _track(talk, int(annotation)),
            place=talk.place,
            source="videorefer_700k",
            licence=TERMS["videorefer_700k"].licence,
            task=self.tasks(talk, Findings())[0],
            provenance={"file": file.name, "record": talk.item_id, "video": talk.video},
            faults=tuple(faults),
        )


def _track(talk: ReferTalk, number: int) -> Track:
    masks = talk.masks(talk.objects[number])
    return tuple(masks.get(frame) for frame in range(talk.clip.num_frames))
