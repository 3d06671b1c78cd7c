"""A record as the model is to see it: the same tokens a session would read, masks for its `[SEG]`s.

Frames, regions and words are laid out by the session's own parts (`FrameChooser`, `SamaProcessor`), so that training
and use agree by construction; what differs is only that every answer is known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from sama_video.chat.frames import FrameChooser, language_clip
from sama_video.chat.pointing import model_question
from sama_video.data.records import DialogueRecord, RecordTurn
from sama_video.dialogue.markup import ObjectTag, RegionTag, clean_question, split_question
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import DataError
from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.inputs import VideoInputs
from sama_video.model.processing_sama import PlacedRegion, SamaProcessor, TrainingInputs, TurnSpec, resize_frames
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import decode, resize_nearest, union
from sama_video.regions.shapes import Box, Mask, ObjectRef
from sama_video.train.tuning.settings import DataSettings
from sama_video.video.clip import Clip

IGNORED = -100
NEVER_VISIBLE = "prompt_never_visible"
TOO_LONG = "too_long"
LOGITS_STRIDE = 4
"""A mask decoder's logits have a quarter of the side of the frames it sees."""


@dataclass(frozen=True, eq=False)
class MaskTargets:
    """What SAM 2 is to make of `[SEG]` prompts.

    Attributes:
        pixels: Frames as SAM 2 takes them, not yet normalised: a quarter of the bytes on their way to the device.
        frame: Which of `pixels` each prompt is decoded on.
        seg: Which `[SEG]` of the row, or of the batch, it comes from.
        masks: At the size of the decoder's logits.
        seeds: Of each prompt's sample points.
    """

    pixels: UInt8[Tensor, "frames 3 side side"]
    frame: Int[Tensor, " prompts"]
    seg: Int[Tensor, " prompts"]
    masks: Bool[Tensor, "prompts height width"]
    seeds: Int[Tensor, " prompts"]

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, eq=False)
class Example:
    """One record as a training row.

    Attributes:
        num_segs: `[SEG]`s in its answers.
        targets: `None` when it has no mask to learn.
        left_out: Why turns of it were left out, one entry for each.
    """

    record_id: str
    row: TrainingInputs
    num_segs: int
    targets: MaskTargets | None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class LaidOutTurn:
    """A turn as frames of the clip, before frames become positions.

    Attributes:
        regions: Frame and mask of each `<region>`.
        dense: Frames that this turn shows in full.
        shown: Those of all turns so far.
    """

    question: str
    answer: str
    regions: tuple[tuple[int, Bool[np.ndarray, "height width"]], ...]
    dense: tuple[int, ...]
    shown: tuple[int, ...]
    targets: tuple[tuple[str, ...], ...]


class ExampleMaker:
    """Turns records into training rows for one model.

    The same record, clip and seed give the same example; it holds no state, so any process may use a copy.
    """

    def __init__(self, config: SamaConfig, processor: SamaProcessor, settings: DataSettings) -> None:
        self.config = config
        self.processor = processor
        self.settings = settings
        self.seg_id = processor.grounding_ids.seg

    def make(self, record: DialogueRecord, clip: Clip | None, seed: int) -> Example:
        """The row of a record.

        Args:
            clip: The record's pixels; None for one about words alone, whose row then has no picture.
            seed: For what is drawn: frames that show an object, objects and frames that get masks, sample points.

        Raises:
            DataError: No turn of it can be used.
            SamaError: Its pixels or words cannot be read.
        """
        if clip is None:
            return self._words_alone(record)
        rng = np.random.default_rng(seed)
        pictures = language_clip(clip, self.settings.protocol, self.processor)
        layout = _Layout(self.config, record, clip, pictures, self.settings.protocol, rng)
        turns = list(layout.turns())
        if not turns:
            raise DataError(f"record {record.record_id!r}: none of its turns can be used ({NEVER_VISIBLE}).")
        row, kept, pixels = self._row(record, turns, layout)
        if layout.pictures is not clip:
            pixels = {0: clip.frame(0)}
        targets = self._targets(record, pixels, turns[:kept], rng)
        left_out = (*layout.left_out, *(TOO_LONG for _ in turns[kept:]))
        num_segs = sum(len(turn.targets) for turn in turns[:kept])
        if num_segs != int((row.labels == self.seg_id).sum()):
            raise DataError(f"record {record.record_id!r}: its answers' tokens hold another number of [SEG].")
        return Example(record.record_id, row, num_segs, targets, left_out)

    def _words_alone(self, record: DialogueRecord) -> Example:
        """The row of a record without a clip; a mask or region in it has nothing to be seen on.

        Raises:
            DataError: It names one, or its first turn is too long.
        """
        if record.objects or any(turn.object_ids for turn in record.turns):
            raise DataError(f"record {record.record_id!r} speaks of objects and has no clip; give the clip.")
        specs = [
            TurnSpec(clean_question(turn.question, line_break=" "), answer=turn.answer.strip()) for turn in record.turns
        ]
        ids, labels, kept = self._tokens(record, specs, 0, one_block=False)
        turns = tuple(self.processor.turn_inputs(spec) for spec in specs[:kept])
        video = VideoInputs(torch.zeros(0, 3, self.config.image_side, self.config.image_side), (), turns)
        row = TrainingInputs(torch.tensor(ids), torch.tensor(labels), video)
        return Example(record.record_id, row, 0, None, (TOO_LONG,) * (len(specs) - kept))

    def _row(
        self, record: DialogueRecord, turns: Sequence[LaidOutTurn], layout: "_Layout"
    ) -> tuple[TrainingInputs, int, dict[int, np.ndarray]]:
        """Ids, labels and pictures of the turns that fit, how many those are, and the frames as decoded."""
        context = layout.chooser.whole.context
        used = {*context, *(frame for turn in turns for frame in turn.dense)}
        frames = sorted(used | {frame for turn in turns for frame, _ in turn.regions})
        place = {frame: position for position, frame in enumerate(frames)}
        times = layout.pictures.times
        specs = [
            TurnSpec(
                turn.question,
                tuple(PlacedRegion(place[frame], mask) for frame, mask in turn.regions),
                tuple(place[frame] for frame in turn.dense),
                tuple(float(times[frame]) for frame in turn.dense),
                turn.answer,
            )
            for turn in turns
        ]
        num_context = len(context) if self.config.has_aggregator else 0
        ids, labels, kept = self._tokens(record, specs, num_context, one_block=layout.chooser.tiled)
        pixels = layout.pictures.frames(frames)
        video = VideoInputs(
            self.processor.vision_pixels(pixels),
            tuple(place[frame] for frame in context),
            tuple(self.processor.turn_inputs(spec) for spec in specs[:kept]),
        )
        return (
            TrainingInputs(torch.tensor(ids), torch.tensor(labels), video),
            kept,
            dict(zip(frames, pixels, strict=True)),
        )

    def _tokens(
        self, record: DialogueRecord, specs: Sequence[TurnSpec], num_context: int, *, one_block: bool
    ) -> tuple[list[int], list[int], int]:
        """Ids and labels of as many turns as fit, each piece tokenised apart; the loss is on answers alone."""
        processor = self.processor
        ids: list[int] = []
        labels: list[int] = []
        for index, spec in enumerate(specs):
            separator = processor.token_ids(processor.template.separator) if index else []
            text = processor.turn_text(spec, num_context, one_block=one_block)
            asked = separator + processor.token_ids(text, first=index == 0)
            answered = processor.token_ids(processor.template.answer(spec.answer or ""))
            total = len(ids) + len(asked) + len(answered)
            if total > self.settings.max_tokens:
                if index:
                    return ids, labels, index
                raise DataError(
                    f"record {record.record_id!r}: its first turn has {total} tokens, more than the "
                    f"{self.settings.max_tokens} of data.max_tokens ({TOO_LONG})."
                )
            ids += asked + answered
            labels += [IGNORED] * len(asked) + answered
        return ids, labels, len(specs)

    def _targets(
        self,
        record: DialogueRecord,
        pixels: Mapping[int, np.ndarray],
        turns: Sequence[LaidOutTurn],
        rng: np.random.Generator,
    ) -> MaskTargets | None:
        objects = {masklet.object_id: masklet for masklet in record.objects}
        asked = [(ids, turn) for turn in turns for ids in turn.targets]
        chosen = _some(rng, len(asked), self.settings.max_objects)
        prompts = [
            (seg, frame, union_on([objects[name] for name in asked[seg][0]], frame))
            for seg in chosen
            for frame in _frames_of(rng, asked[seg][1].shown, pixels, self.settings.mask_frames)
        ]
        if not prompts:
            return None
        frames = sorted({frame for _, frame, _ in prompts})
        side = self.config.segmenter_side
        squares = np.stack([resize_frames(pixels[frame][None], side)[0] for frame in frames])
        size = (side // LOGITS_STRIDE, side // LOGITS_STRIDE)
        return MaskTargets(
            pixels=torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous(),
            frame=torch.tensor([frames.index(frame) for _, frame, _ in prompts]),
            seg=torch.tensor([seg for seg, _, _ in prompts]),
            masks=torch.from_numpy(np.stack([resize_nearest(mask, size) for _, _, mask in prompts])),
            seeds=torch.from_numpy(rng.integers(0, 2**62, len(prompts))),
        )


class _Layout:
    """Which frames each turn of a record shows, and where its regions are seen."""

    def __init__(
        self,
        config: SamaConfig,
        record: DialogueRecord,
        clip: Clip,
        pictures: Clip,
        protocol: str,
        rng: np.random.Generator,
    ) -> None:
        self.record = record
        self.clip = clip
        self.pictures = pictures
        self.moves_regions = protocol == "paper"
        self.rng = rng
        self.objects = {masklet.object_id: masklet for masklet in record.objects}
        self.chooser = FrameChooser(config, pictures, tiled=pictures is not clip)
        self.left_out: list[str] = []

    def turns(self) -> Iterator[LaidOutTurn]:
        """The turns that can be used; a region that no frame shows takes its turn out."""
        shown: tuple[int, ...] = ()
        for turn in self.record.turns:
            laid_out = self._turn(turn, shown)
            if laid_out is None:
                self.left_out.append(NEVER_VISIBLE)
                continue
            shown = laid_out.shown
            yield laid_out

    def _turn(self, turn: RecordTurn, shown: tuple[int, ...]) -> LaidOutTurn | None:
        text = clean_question(turn.question, line_break=" ")
        prompts = list(self._prompts(text, turn.regions))
        base = {*shown} or {*self.chooser.whole.dense}
        pointed_at = [] if self.moves_regions else [self._frame_of(prompt, base) for prompt in prompts]
        if any(frame is None for frame in pointed_at):
            return None
        frames = self.chooser.choose(
            shown, [frame for frame in pointed_at if frame is not None], likeness=lambda some: [0.0] * len(some)
        )
        shown = (*shown, *frames.dense)
        visible = sorted({*shown})
        regions = [
            self._place(prompt, visible if self.moves_regions else [frame])
            for prompt, frame in zip(prompts, pointed_at or [None] * len(prompts), strict=True)
        ]
        if any(region is None for region in regions):
            return None
        placed = tuple(region for region in regions if region is not None)
        return LaidOutTurn(model_question(text), turn.answer.strip(), placed, frames.dense, shown, turn.targets)

    def _prompts(self, question: str, regions: Sequence[RegionPrompt]) -> Iterator[RegionPrompt]:
        """The regions in the order of their tags; `<objN>` is the record's object of that name."""
        given = iter(regions)
        for piece in split_question(question):
            if isinstance(piece, RegionTag):
                yield next(given)
            elif isinstance(piece, ObjectTag):
                if piece.object_id not in self.objects:
                    raise DataError(f"record {self.record.record_id!r}: the question names {piece.object_id}, unknown.")
                yield RegionPrompt(ObjectRef(piece.object_id), piece.object_id)

    def _frame_of(self, prompt: RegionPrompt, shown: set[int]) -> int | None:
        """The frame a region is pointed at on; of an object that is only named, a shown frame with it, or any."""
        region = prompt.region
        if not isinstance(region, ObjectRef):
            if region.frame is not None:
                return region.frame
            assert region.seconds is not None, "a region has a frame or a time"
            return self.clip.index_at(region.seconds)
        seen = self.objects[prompt.object_id].visible_frames
        choices = [frame for frame in seen if frame in shown] or list(seen)
        return choices[int(self.rng.integers(len(choices)))] if choices else None

    def _place(self, prompt: RegionPrompt, frames: Sequence[int | None]) -> tuple[int, np.ndarray] | None:
        """One of some frames that shows the region, and its mask there."""
        masklet = self.objects[prompt.object_id]
        own = self._frame_of(prompt, set()) if not isinstance(prompt.region, ObjectRef) else None
        if self.chooser.tiled:
            mask = self._mask(prompt, masklet, 0)
            return None if mask is None else (self.pictures.num_frames - 1, mask)
        seen = [frame for frame in frames if frame is not None and (masklet.rles[frame] is not None or frame == own)]
        if not seen:
            return None
        frame = seen[int(self.rng.integers(len(seen)))]
        mask = self._mask(prompt, masklet, frame)
        return None if mask is None else (frame, mask)

    def _mask(self, prompt: RegionPrompt, masklet: Masklet, frame: int) -> Bool[np.ndarray, "height width"] | None:
        """The object's mask on a frame; where it has none, what was drawn there by hand."""
        rle = masklet.rles[frame]
        if rle is not None:
            return decode(rle)
        if isinstance(prompt.region, Mask):
            return prompt.region.dense()
        if isinstance(prompt.region, Box):
            return _box_mask(prompt.region, self.clip.height, self.clip.width)
        return None


def union_on(masklets: Sequence[Masklet], frame: int) -> Bool[np.ndarray, "height width"]:
    """What some objects cover together on a frame; nothing where none is seen."""
    rles = [rle for masklet in masklets if (rle := masklet.rles[frame]) is not None]
    if not rles:
        return np.zeros((masklets[0].height, masklets[0].width), np.bool_)
    return decode(union(rles))


def _box_mask(box: Box, height: int, width: int) -> Bool[np.ndarray, "height width"]:
    x0, y0, x1, y1 = box.xyxy
    mask = np.zeros((height, width), np.bool_)
    mask[max(0, int(y0)) : int(np.ceil(y1)), max(0, int(x0)) : int(np.ceil(x1))] = True
    return mask


def _some(rng: np.random.Generator, count: int, most: int) -> list[int]:
    """All places when they are few enough, else so many of them at random, in order."""
    return list(range(count)) if count <= most else sorted(rng.choice(count, most, replace=False).tolist())


def _frames_of(rng: np.random.Generator, shown: Sequence[int], decoded: Mapping[int, object], most: int) -> list[int]:
    """The clip's frames that a `[SEG]` is decoded on: those that were shown; of an image's tiles, the image."""
    frames = sorted({frame for frame in shown if frame in decoded})
    return [frames[place] for place in _some(rng, len(frames), most)]


__all__ = ["Example", "ExampleMaker", "LaidOutTurn", "MaskTargets", "union_on"]
