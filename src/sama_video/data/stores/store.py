"""RecordStore: records by number, from files of ours or from data sets as they were published.

    store = open_store("data/sama239k_data")
    record = store.record(17)
    clip = record.clip.open()

Opening a store looks at record files alone, never at a mask or a frame; a record's masks are read when it is asked for
and are gone with it. Stores hold no open file, are cheap to pickle, and may be read by many processes at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from jaxtyping import UInt8

from sama_video.data.findings import FaultError, Findings
from sama_video.data.records import TASKS, DialogueRecord, Task
from sama_video.errors import DataError

Absent: TypeAlias = Literal["say", "empty_mask", "drop"]
"""What becomes of an expression that means nothing in the clip: words alone, a `[SEG]` whose masks are empty as the
published loader has it, or no turn."""

RegionForm: TypeAlias = Literal["box", "mask", "point"]


@dataclass(frozen=True)
class StoreOptions:
    """How the entries of published data sets become records; stores of our own records take no notice.

    The defaults mend the published loader; what it does differently is one option away.

    Attributes:
        split: Of data sets that have several.
        seed: Draws, with the record's number and the epoch, templates, groups of expressions and pointed-at frames.
        turns_per_record: Rounds of a SAMA dialogue that are learnt as one.
        keep_verbal: Keep dialogues without any mask; False is the published loader.
        descriptions_per_record: Descriptions of a SAMA record that are learnt together.
        expressions_per_record: Referring expressions or sentences of a clip or picture, or masklets of SA-V, that are
            learnt together.
        labels_per_record: Annotation formats of other tools: turns made of labels that are learnt together.
        region_forms: How a question points at an object whose track is all that the data set gives; the published
            loader trains on boxes alone.
        ask_for_masks: Add the request for interleaved masks, on which published checkpoints were trained, to questions
            of SAMA whose answers hold masks.
        absent: What an expression becomes that means nothing.
        exclude: SAMA: leave out records whose `video` contains one of these fragments.
        sources: SAMA: only records of these sources; all if empty.
        pad_tracks: SAMA: fill tracks that are shorter than their clip instead of refusing them.
    """

    split: str = "train"
    seed: int = 0
    turns_per_record: int = 4
    keep_verbal: bool = True
    descriptions_per_record: int = 3
    expressions_per_record: int = 5
    labels_per_record: int = 8
    region_forms: tuple[RegionForm, ...] = ("box", "mask")
    ask_for_masks: bool = False
    absent: Absent = "say"
    exclude: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    pad_tracks: bool = False

    def __post_init__(self) -> None:
        for name in ("turns_per_record", "descriptions_per_record", "expressions_per_record", "labels_per_record"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}; a record has at least one turn.")
        if not self.region_forms:
            raise DataError("region_forms is empty; give at least one of box, mask and point.")


DEFAULTS: Final = StoreOptions()


class RecordStore(ABC):
    """Records by number.

    Attributes:
        name: What messages call it.
        findings: What was dropped and what is odd: in opening, and since then in records that were asked for. A record
            that is dropped whole is not counted here but told by the error of `record`.
    """

    name: str
    findings: Findings

    @abstractmethod
    def __len__(self) -> int:
        """How many records there are to ask for; some may turn out to be unusable."""

    @abstractmethod
    def record(self, index: int, epoch: int = 0) -> DialogueRecord:
        """One record, with its masks; the same arguments give the same record.

        Args:
            index: From 0.
            epoch: How often all records were seen before. Data sets whose words or groups are drawn draw them anew.

        Raises:
            FaultError: The record cannot be used; `reason` says why.
            IndexError: There is no such record.
        """

    @abstractmethod
    def task(self, index: int) -> Task:
        """What a record teaches, without reading it."""

    def task_codes(self) -> UInt8[np.ndarray, " records"]:
        """What each record teaches, as places in `TASKS`."""
        return np.fromiter((TASKS.index(self.task(index)) for index in range(len(self))), np.uint8, len(self))

    def __iter__(self) -> Iterator[DialogueRecord]:
        """Every record that can be used, in order; the others are counted in `findings`.

        Raises:
            FaultError: The findings are strict, and a record cannot be used.
        """
        for index in range(len(self)):
            try:
                yield self.record(index)
            except FaultError as error:
                self.findings.take(error)

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {self.name}, which has {len(self)} (0-{len(self) - 1})")
        return index
