"""Published data sets as records: opened by their record files, put together one at a time when they are asked for.

    store = open_source(Path("video_datas/mevis"), "mevis", StoreOptions(), Findings())

`SourceStore` is the same for all of them. What differs is a small class of entries (in
`data/building`): which entries a set has, how many records each makes, and what such a record is drafted from.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from sama_video.data.building.annotated import AnnotatedEntries
from sama_video.data.building.draft import Draft, finished
from sama_video.data.building.draws import Draws
from sama_video.data.building.expressions import ExpressionEntries, ReadVideos
from sama_video.data.building.pictures import CaptionEntries, RefcocoEntries
from sama_video.data.building.regions import OSPREY_PARTS, OspreyEntries, VideoReferEntries
from sama_video.data.building.sama import KINDS, Kind, SamaEntries
from sama_video.data.building.sav import SavEntries
from sama_video.data.building.talks import READERS, TalkEntries
from sama_video.data.building.vidstg import VidstgEntries
from sama_video.data.findings import FaultError, Finding, Findings
from sama_video.data.formats import FORMATS, detect
from sama_video.data.mask_files import MaskFile
from sama_video.data.records import TASKS, DialogueRecord, Task
from sama_video.data.sources.expression_videos import ExpressionVideo
from sama_video.data.sources.expressions import (
    read_mevis,
    read_ref_davis17,
    read_ref_sav,
    read_ref_youtube_vos,
    read_revos,
)
from sama_video.data.sources.grounded_captions import FILES as CAPTION_FILES
from sama_video.data.sources.layouts import Layout, sav_root, splits_of
from sama_video.data.sources.osprey import FILES, FOLDER
from sama_video.data.stores.packing import PackedItems
from sama_video.data.stores.store import RecordStore, RegionForm, StoreOptions
from sama_video.errors import DataError

Tell: TypeAlias = Callable[[FaultError], None]

MAX_TOLD: Final = 100_000
"""Faults remembered, so that one that is met again in the next epoch is not counted again."""


@runtime_checkable
class Entries(Protocol):
    """A published data set, entry by entry; an entry is whatever its reader gives and can be pickled."""

    def entries(self, findings: Findings) -> Iterator[Any]:
        """Entries that can be used, in the set's order."""
        ...

    def tasks(self, entry: Any, findings: Findings) -> list[Task]:
        """What each record of an entry teaches; none for an entry without records."""
        ...

    def draft(self, entry: Any, number: int, draws: Draws, epoch: int) -> Draft | DialogueRecord:
        """One record of an entry, or one that is ready as it is; FaultError where it cannot be used."""
        ...


def built(
    source: Entries, entry: Any, number: int, draws: Draws, epoch: int, forms: Sequence[RegionForm], tell: Tell
) -> DialogueRecord:
    """One record of an entry, with its masks.

    Args:
        number: Which of the entry's records.
        forms: As `finished`.
        tell: Told of each turn that is dropped while others are kept.

    Raises:
        FaultError: It cannot be used.
    """
    made = source.draft(entry, number, draws, epoch)
    return made if isinstance(made, DialogueRecord) else finished(made, draws, forms, tell)


class SourceStore(RecordStore):
    """Records of a published data set.

    Entries are kept as bytes, without masks and frames; mask dictionaries are read by index, a track at a time.

    Args:
        name: What messages call it.
        source: Its entries.
        options: How they become records.
        findings: Takes what is dropped; a fault that is met again is counted once.
    """

    def __init__(self, name: str, source: Entries, options: StoreOptions, findings: Findings) -> None:
        self.name = name
        self.findings = findings
        self._source = source
        self._options = options
        self._told: set[Finding] = set()
        owners, numbers, codes = array("L"), array("H"), array("B")

        def inspect(number: int, entry: Any) -> None:
            tasks = source.tasks(entry, findings)
            owners.extend([number] * len(tasks))
            numbers.extend(range(len(tasks)))
            codes.extend(TASKS.index(task) for task in tasks)

        self._entries: PackedItems[Any] = PackedItems(source.entries(findings), (MaskFile,), inspect)
        self._owners = np.array(owners, np.int32)
        self._numbers = np.array(numbers, np.uint16)
        self._tasks: UInt8[np.ndarray, " records"] = np.array(codes, np.uint8)

    def __len__(self) -> int:
        return len(self._tasks)

    def record(self, index: int, epoch: int = 0) -> DialogueRecord:
        """One record; each epoch deals and words it anew."""
        entry = self._entries[int(self._owners[self._checked(index)])]
        draws = Draws(self._options.seed, self.name, index, epoch)
        forms, number = self._options.region_forms, int(self._numbers[index])
        return built(self._source, entry, number, draws, epoch, forms, self._tell)

    def task(self, index: int) -> Task:
        """What a record teaches."""
        return TASKS[int(self._tasks[self._checked(index)])]

    def task_codes(self) -> UInt8[np.ndarray, " records"]:
        """All at once."""
        return self._tasks

    def _tell(self, error: FaultError) -> None:
        if self.findings.strict:
            raise error
        if error.finding not in self._told:
            if len(self._told) < MAX_TOLD:
                self._told.add(error.finding)
            self.findings.take(error)


Opener: TypeAlias = Callable[[Path, StoreOptions], Entries]


def _sama(*kinds: Kind) -> Opener:
    return lambda path, options: SamaEntries(path, options, kinds)


def _expressions(source: str, read: ReadVideos) -> Opener:
    return lambda path, options: ExpressionEntries(source, read, path, options)


def _ref_sav(file: Path, split: str, findings: Findings) -> Iterator[ExpressionVideo]:
    """Ref-SAV has one split only."""
    return read_ref_sav(file, sav_root(Layout("ref_sav", file, file.absolute().parent.parent)), findings)


def _captions(set_name: str) -> Opener:
    return lambda path, options: CaptionEntries(set_name, path, options)


def _talks(source: str) -> Opener:
    return lambda path, options: TalkEntries(source, path, options)


def _osprey(*files: str) -> Opener:
    return lambda path, options: OspreyEntries(files, path, options)


def _annotated(format_name: str) -> Opener:
    return lambda path, options: AnnotatedEntries(format_name, path, options)


OPENERS: Final[Mapping[str, Opener]] = {
    "sama239k": _sama(*KINDS),
    **{f"sama239k-{kind}": _sama(kind) for kind in KINDS},
    "mevis": _expressions("mevis", read_mevis),
    "revos": _expressions("revos", read_revos),
    "ref_youtube_vos": _expressions("ref_youtube_vos", read_ref_youtube_vos),
    "ref_davis17": _expressions("ref_davis17", read_ref_davis17),
    "ref_sav": _expressions("ref_sav", _ref_sav),
    "refcoco": RefcocoEntries,
    **{f"gcg-{name}": _captions(name) for name in CAPTION_FILES},
    **{name: _talks(name) for name in READERS},
    "osprey": _osprey(*FILES),
    **{f"osprey-{name}": _osprey(file) for name, file in OSPREY_PARTS.items()},
    "videorefer_700k": VideoReferEntries,
    "vidstg": VidstgEntries,
    "sav": SavEntries,
    **{name: _annotated(name) for name in FORMATS},
}
"""By layout; a new data set is a class of entries and a line here."""


def parts_of(layout: Layout) -> list[tuple[str, str]]:
    """The layouts that a data set's folder holds, as `OPENERS` names them, each with its split where it has several."""
    match layout.kind:
        case "gcg":
            return [(f"gcg-{name}", "") for name, file in CAPTION_FILES.items() if (layout.path / file).is_file()]
        case "osprey":
            there = [name for name, file in OSPREY_PARTS.items() if (layout.path / FOLDER / file).is_file()]
            return [(f"osprey-{name}", "") for name in there] or [("osprey", "")]
        case "vidstg":
            return [("vidstg", split) for split in splits_of(layout)]
        case "annotations":
            return [(detect(layout.path).name, "")]
        case _:
            return [(layout.kind, "")]


def open_source(path: Path, layout: str, options: StoreOptions, findings: Findings) -> SourceStore:
    """Open a published data set.

    Raises:
        DataError: It has no record, for the reason that comes first in the findings.
        FaultError: A file is missing or damaged as a whole, or the findings are strict.
    """
    store = SourceStore(layout, OPENERS[layout](path, options), options, findings)
    if len(store) == 0:
        why = findings.rows[0].detail if findings.rows else "its files name none"
        raise DataError(
            f"{path} has no record of the layout {layout} (split {options.split}): {why}; check the folder."
        )
    return store
