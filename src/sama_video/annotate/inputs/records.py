"""Records as subjects: all records of one clip are one subject, with each object once."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from sama_video.annotate.case import Subject, Thing
from sama_video.annotate.inputs.catalogue import Input, Listed, file_stamp, safe_name
from sama_video.annotate.stages import Json, digest
from sama_video.annotate.subject_json import clip_to_json
from sama_video.data.findings import FaultError, Findings
from sama_video.data.records import DialogueRecord, FileClip
from sama_video.data.stores.json_values import Scalar
from sama_video.data.stores.opening import open_store
from sama_video.data.stores.store import RecordStore, StoreOptions
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.export import RECORDS, SynthSettings, write_synth
from sama_video.data.synthetic.levels import seeds_of
from sama_video.dialogue.markup import parse_answer
from sama_video.regions.masklet import Masklet

MAX_EXPRESSIONS = 5
"""Of one object; a prompt gets no better by more."""


@dataclass(frozen=True)
class RecordInput(Input):
    """Whatever `open_store` opens.

    Attributes:
        root: Folder that the clips of our own records are named relative to; the record file's if not given.
        licence: Terms, where the data set's own are to be replaced by better knowledge.
    """

    path: Path
    layout: str = "auto"
    root: Path | None = None
    licence: str | None = None
    split: str = "train"
    provenance: tuple[tuple[str, Scalar], ...] = ()

    def key(self) -> Json:
        """Settings and files."""
        root = None if self.root is None else str(self.root)
        return ["records", str(self.path), self.layout, root, self.licence, self.split, file_stamp(self.path)]

    def listed(self, findings: Findings) -> Iterator[Listed]:
        """One row for each clip; records are read once, one at a time."""
        open_records.cache_clear()  # the files may be others than when an earlier run in this process read them
        store = open_records(self)
        groups: dict[str, _Group] = {}
        for index in range(len(store)):
            try:
                record = store.record(index)
            except FaultError as error:
                findings.take(error)
                continue
            if not record.clip.num_frames:
                findings.fault("missing_video", str(self.path), record.record_id, "the record has no clip")
                continue
            # Where the clip lies tells clips apart, but a folder that is moved holds the same clips.
            group = groups.setdefault(digest(clip_to_json(record.clip)).hex(), _Group(_name_of(record)))
            group.indices.append(index)
            group.hashes.append(digest(record.to_json()).hex())
        findings.faults.update(store.findings.faults)
        findings.rows.extend(store.findings.rows)
        for group in groups.values():
            yield Listed(group.name, digest([self.licence, group.hashes]).hex(), group.indices)

    def load(self, locator: Json) -> Subject:
        """The records of one clip as one subject."""
        store = open_records(self)
        records = [store.record(index) for index in locator]
        first = records[0]
        subject = Subject(
            subject_id=_name_of(first),
            clip=first.clip,
            things=merged_things(records),
            source=first.source,
            licence=self.licence or first.licence,
            provenance={**first.provenance, "record": first.record_id, **dict(self.provenance)},
        )
        return subject


@lru_cache(maxsize=8)
def open_records(source: RecordInput) -> RecordStore:
    """The store of an input; stores hold no open file, but finding where each record begins takes its time."""
    return open_store(source.path, source.layout, options=StoreOptions(split=source.split), root=source.root)


@dataclass(frozen=True)
class SyntheticInput(Input):
    """Clips of the diagnostic world, drawn to a folder when they are first listed."""

    folder: Path
    clips: int
    seed: int = 0
    level: int = 2
    size: int = 128

    def key(self) -> Json:
        """What the clips follow from."""
        return ["synthetic", str(self.folder.absolute()), self.clips, self.seed, self.level, self.size]

    def listed(self, findings: Findings) -> Iterator[Listed]:
        """The clips; those that are there already are not drawn again."""
        size = (self.size, self.size)
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = SynthSettings(self.level, "train", self.seed, size, "frames")
        write_synth(self.folder, settings, DiagnosticWorld(self.level, size), self.clips, lambda _: None)
        yield from (row for row in self._records.listed(findings) if row.locator[0] < self.clips)

    def load(self, locator: Json) -> Subject:
        """A clip with its objects' masks and shapes; of the dialogue that was drawn with it nothing is taken over."""
        subject = self._records.load(locator)
        bare = tuple(replace(thing, expressions=()) for thing in subject.things)
        first = seeds_of("train", self.seed, self.clips).start
        provenance = {"world_level": self.level, "world_seed": first + locator[0]}
        return replace(subject, things=bare, provenance={**subject.provenance, **provenance})

    @property
    def _records(self) -> RecordInput:
        return RecordInput(self.folder / RECORDS, "jsonl")


def merged_things(records: list[DialogueRecord]) -> tuple[Thing, ...]:
    """The objects of several records of one clip; equal masks are one object, whatever it is called in each."""
    found: dict[tuple[str | None, ...], _Known] = {}
    for record in records:
        for masklet in record.objects:
            counts = tuple(None if rle is None else rle["counts"] for rle in masklet.rles)
            known = found.setdefault(counts, _Known(masklet))
            label = record.facts.get(masklet.object_id, {}).get("label")
            if isinstance(label, str) and known.label is None:
                known.label = label
            known.expressions.extend(_expressions(record, masklet.object_id))
    return tuple(
        Thing(
            f"obj{number}",
            _named(one.masklet, f"obj{number}"),
            label=one.label,
            expressions=tuple(dict.fromkeys(one.expressions))[:MAX_EXPRESSIONS],
        )
        for number, one in enumerate(found.values(), start=1)
    )


def _named(masklet: Masklet, object_id: str) -> Masklet:
    return masklet if masklet.object_id == object_id else replace(masklet, object_id=object_id)


@dataclass
class _Group:
    name: str
    indices: list[int] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)


@dataclass
class _Known:
    masklet: Masklet
    label: str | None = None
    expressions: list[str] = field(default_factory=list)


def _expressions(record: DialogueRecord, object_id: str) -> Iterator[str]:
    """Phrases of the answers that stand for this object alone."""
    for turn in record.turns:
        for phrase in parse_answer(turn.answer).phrases:
            if phrase.seg is not None and phrase.seg < len(turn.targets) and turn.targets[phrase.seg] == (object_id,):
                yield phrase.text


def _name_of(record: DialogueRecord) -> str:
    if isinstance(record.clip, FileClip):
        path = Path(record.clip.path)
        return safe_name(
            path.stem if path.suffix.lower() in (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi") else path.name
        )
    return safe_name(record.record_id)
