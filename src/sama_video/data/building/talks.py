"""Conversations without masks as records: the LLaVA mixture, with a picture or with words alone, and Chat-UniVi.

A conversation is one record with all of its turns. One without a picture has no clip, so that it costs its reader and
its trainer nothing but its words; the published loader encodes a black picture for it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from sama_video.data.building.draft import Draft, PlainTurn, file_clip
from sama_video.data.building.draws import Draws
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.licences import TERMS
from sama_video.data.mask_files import Track
from sama_video.data.record_clips import NoClip
from sama_video.data.records import Task
from sama_video.data.sources.chat_univi import read_chat_univi
from sama_video.data.sources.llava import read_llava
from sama_video.data.sources.talks import Exchange, Talk
from sama_video.data.stores.store import StoreOptions
from sama_video.dialogue.markup import REGION_TAG, check_tags
from sama_video.errors import DialogueError

ReadTalks: TypeAlias = Callable[[Path, Findings], Iterator[Talk]]
READERS: Final[Mapping[str, ReadTalks]] = {"llava": read_llava, "chat_univi": read_chat_univi}


@dataclass(frozen=True)
class TalkEntries:
    """Records of a set of conversations; an entry is one of them.

    Attributes:
        source: A key of `READERS`, and of `licences.TERMS`.
        path: Of the set, as its reader takes it.
    """

    source: str
    path: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[Talk]:
        """Conversations in file order."""
        return READERS[self.source](self.path, findings)

    def tasks(self, talk: Talk, findings: Findings) -> list[Task]:
        """One: a dialogue, or a question alone."""
        return ["dialogue" if len(talk.turns) > 1 else "vqa"]

    def draft(self, talk: Talk, number: int, draws: Draws, epoch: int) -> Draft:
        """The whole conversation, less the turns that spell marks of ours."""
        turns, faults = spoken_turns(talk.turns, talk.place)
        root = self.path if self.path.is_dir() else self.path.parent
        return Draft(
            record_id=f"{talk.item_id} ({talk.place.record})",
            clip=NoClip() if talk.clip is None else file_clip(talk.clip, root, None, talk.place),
            turns=turns,
            track=_no_track,
            place=talk.place,
            source=self.source,
            licence=TERMS[self.source].licence,
            task=self.tasks(talk, Findings())[0],
            provenance={"file": Path(talk.place.file).name, "record": talk.item_id},
            faults=faults,
        )


def spoken_turns(turns: tuple[Exchange, ...], place: Place) -> tuple[tuple[PlainTurn, ...], tuple[FaultError, ...]]:
    """Turns of words alone, and why others cannot be used."""
    kept: list[PlainTurn] = []
    faults: list[FaultError] = []
    for turn in turns:
        name = f"turn {turn.round_idx}"
        try:
            check_plain(turn.question, place.part(name))
            check_plain(turn.answer, place.part(name))
            kept.append(PlainTurn(name, turn.question, turn.answer))
        except FaultError as error:
            faults.append(error)
    return tuple(kept), tuple(faults)


def check_plain(text: str, place: Place, num_regions: int = 0) -> None:
    """Refuse text that spells what dialogues keep for themselves, as quoted HTML does with `<p>`.

    Raises:
        FaultError: `malformed_phrase`, or `region_count_mismatch`.
    """
    try:
        check_tags(text, num_regions)
    except DialogueError as error:
        reason = "malformed_phrase" if text.count(REGION_TAG) == num_regions else "region_count_mismatch"
        raise place.fault(reason, str(error)) from None


def _no_track(annotation: str) -> Track:
    raise AssertionError(f"words alone name no annotation, and {annotation} was asked for")
