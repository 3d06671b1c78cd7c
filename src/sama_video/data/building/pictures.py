"""Pictures as records: referring sentences of RefCOCO and its like, captions with a mask for each phrase."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sama_video.data.building.draft import Draft, PlainTurn, file_clip
from sama_video.data.building.draws import Draws
from sama_video.data.building.wording import caption_question, found_answer, segment_question
from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.licences import TERMS
from sama_video.data.mask_files import Track
from sama_video.data.record_clips import FileClip
from sama_video.data.records import Task
from sama_video.data.sources.grounded_captions import GroundedCaption, read_grounded_captions
from sama_video.data.sources.pictures import Picture
from sama_video.data.sources.refcoco import RefObject, RefPicture, read_refcoco
from sama_video.data.stores.store import StoreOptions
from sama_video.dialogue.markup import PHRASE_END, PHRASE_START, SEG, parse_answer


@dataclass(frozen=True)
class RefcocoEntries:
    """Records of RefCOCO, RefCOCO+ or RefCOCOg; an entry is one picture.

    The published loader fixes one sentence for each object when it starts, and draws five objects with replacement.
    Here an epoch deals out all objects, each with a sentence drawn for that epoch.
    """

    root: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[RefPicture]:
        """Pictures with objects of the split."""
        return read_refcoco(self.root, findings, (self.options.split,))

    def tasks(self, found: RefPicture, findings: Findings) -> list[Task]:
        """One task for each group of objects."""
        return ["grounding"] * -(-len(_named(found)) // self.options.expressions_per_record)

    def draft(self, found: RefPicture, number: int, draws: Draws, epoch: int) -> Draft:
        """One group of a picture's objects."""
        dealt = Draws(self.options.seed, "refcoco", found.image_id, epoch).shuffled(_named(found))
        size = self.options.expressions_per_record
        group = dealt[number * size : (number + 1) * size]
        by_annotation = {one.annotation_id: one for one in group}
        place = Place(found.picture.place.file, f"image {found.image_id}")
        return Draft(
            record_id=f"{found.image_id}, refs {', '.join(one.ref_id for one in group)}",
            clip=_picture_clip(found.picture),
            turns=tuple(_asked(one, draws) for one in group),
            track=lambda annotation: (by_annotation[annotation].mask(),),
            place=place,
            source=self.root.name,
            licence=TERMS["refcoco"].licence,
            task="grounding",
            provenance={"file": "instances.json", "image": found.image_id},
        )


def _named(found: RefPicture) -> list[RefObject]:
    return [one for one in found.objects if one.sentences]


def _asked(one: RefObject, draws: Draws) -> PlainTurn:
    sentence = draws.choice(one.sentences)
    question = segment_question(sentence.raw.lower(), "image", draws)
    return PlainTurn(f"ref {one.ref_id}", question, found_answer(draws), targets=((one.annotation_id,),))


def _picture_clip(picture: Picture) -> FileClip:
    return FileClip(picture.path.name, 1, *picture.size, root=picture.path.parent)


@dataclass(frozen=True)
class CaptionEntries:
    """Records of one GCG set; an entry is one picture, and one record.

    Attributes:
        set_name: A key of `grounded_captions.FILES`.
    """

    set_name: str
    root: Path
    options: StoreOptions

    def entries(self, findings: Findings) -> Iterator[GroundedCaption]:
        """Pictures with a caption."""
        return read_grounded_captions(self.root, self.set_name, findings)

    def tasks(self, found: GroundedCaption, findings: Findings) -> list[Task]:
        """One."""
        return ["caption"]

    def draft(self, found: GroundedCaption, number: int, draws: Draws, epoch: int) -> Draft:
        """The picture's caption, with the phrases whose masks can be used."""
        masks: dict[str, Track] = {}
        converted: set[str] = set()
        faults: list[FaultError] = []
        spans: list[tuple[int, int]] = []
        for idx, phrase in enumerate(found.phrases):
            try:
                masks[str(idx)] = (found.mask(phrase, converted),)
                spans.append((phrase.start, phrase.end))
            except FaultError as error:
                faults.append(error)
        if not spans:
            raise faults[0]
        targets = tuple((name,) for name in masks)
        turn = PlainTurn("caption", caption_question("image", draws), _marked(found, spans), targets=targets)
        return Draft(
            record_id=f"{found.picture.names[0]}, {found.place.record}",
            clip=file_clip(found.picture, self.root, found.size, found.place),
            turns=(turn,),
            track=lambda annotation: masks[annotation],
            place=found.place,
            source=f"gcg-{self.set_name}",
            licence=TERMS["gcg"].licence,
            task="caption",
            provenance={"file": Path(found.place.file).name, "record": found.place.record or ""},
            labels=dict(zip(masks, (found.caption[slice(*span)].strip() for span in spans), strict=True)),
            faults=tuple(faults),
            converted=converted,
        )


def _marked(found: GroundedCaption, spans: Sequence[tuple[int, int]]) -> str:
    """The caption with each span as a grounded phrase, on one line.

    Raises:
        FaultError: `malformed_phrase`: the caption spells marks itself.
    """
    parts, done = [], 0
    for start, end in spans:
        words = f"{PHRASE_START} {found.caption[start:end].strip()} {PHRASE_END} {SEG}"
        parts += [found.caption[done:start], words]
        done = end
    marked = " ".join("".join([*parts, found.caption[done:]]).split())
    if len(parse_answer(marked).phrases) != len(spans):
        raise found.place.fault("malformed_phrase", "the caption holds marks of its own")
    return marked
