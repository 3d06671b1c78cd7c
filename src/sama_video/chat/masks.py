"""Regions and `[SEG]` prompts to masks at the clip's own size, and objects followed through the clip."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sama_video.chat.objects import KnownObject, Sighting
from sama_video.errors import RegionError
from sama_video.model.prompts import TrackPrompt
from sama_video.model.tracking import Tracker
from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import Rle, decode, encode
from sama_video.regions.shapes import Box, Mask, Points
from sama_video.video.clip import Clip

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GroundedMasks:
    """What one `[SEG]` prompt shows on the prompted frames.

    Attributes:
        sightings: One per prompted frame, absent ones with `mask=None`.
    """

    sightings: tuple[Sighting, ...]

    @property
    def is_visible(self) -> bool:
        """Whether any prompted frame shows something."""
        return any(sighting.mask is not None for sighting in self.sightings)


class MaskMaker:
    """Masks of one clip.

    Args:
        tracker: Encodes and caches the clip's frames.
        paper: Follow the published inference: prompts are embeddings, and absence is not acted upon.
        decoder: Which mask decoder propagates.
    """

    def __init__(self, tracker: Tracker, clip: Clip, *, paper: bool = False, decoder: str = "main") -> None:
        self.tracker = tracker
        self.clip = clip
        self.paper = paper
        self.decoder = decoder

    @property
    def side(self) -> int:
        """Side of the square frame that SAM 2 sees."""
        return self.tracker.segmenter.image_size

    def region_mask(self, region: Points | Box | Mask, *, hint: Tensor | None = None) -> Rle:
        """The mask that a region stands for, on its own frame; as for `look_at`.

        Raises:
            RegionError: Nothing was found there.
        """
        mask, _ = self.look_at(region, hint=hint)
        if mask is None:
            kind = "point" if isinstance(region, Points) else "box"
            raise RegionError(
                f"no object was found at the {kind} on frame {_frame(region)}; "
                "point at its middle, or draw a box or mask."
            )
        return mask

    def look_at(self, region: Points | Box | Mask, *, hint: Tensor | None = None) -> tuple[Rle | None, float]:
        """The mask that a region stands for on its own frame, `None` where nothing is, and how sure the model is of it.

        That is the overlap with the truth that the mask decoder predicts, from 0 to 1; a mask that was given is sure.

        Args:
            hint: Mask logits of the same object there, which the points then refine.
        """
        if isinstance(region, Mask):
            return region.mask, 1.0
        prompt = self.prompt("region", Sighting(_frame(region), None, region))
        with torch.inference_mode():
            if hint is not None:
                features = self.tracker.features(self.clip, [prompt.frame_idx])
                points, labels, box = _prompt_tensors(prompt)
                found = self.tracker.segmenter.predict(
                    features, points=points, labels=labels, boxes=box, mask_inputs=hint[None]
                )
            else:
                found = self.tracker.predict(self.clip, [prompt])
            mask = self.masks_of(found.mask_logits, found.object_score.new_ones(1))[0]
        return mask, min(1.0, max(0.0, float(found.iou[0])))

    def hint_from(self, mask: Rle) -> Float[Tensor, "height width"]:
        """A known mask as logits that points can refine."""
        dense = decode(mask)
        return torch.from_numpy(np.where(dense, 10.0, -10.0).astype(np.float32))

    def ground(self, embeddings: Float[Tensor, "segs dim"], frames: Sequence[int]) -> list[GroundedMasks]:
        """What each `[SEG]` embedding shows on each of some frames, each frame on its own (spec model 7.4, 13)."""
        prompts = [
            TrackPrompt(f"seg{index}", frame_idx, embedding=embedding)
            for index, embedding in enumerate(embeddings)
            for frame_idx in frames
        ]
        if not prompts:
            return []
        with torch.inference_mode():
            found = self.tracker.predict(self.clip, prompts)
            present = (found.object_score > 0).tolist()
            masks = self.full_size(found.mask_logits)
        sightings = []
        for prompt, mask, is_present in zip(prompts, masks, present, strict=True):
            kept = encode(mask) if mask.any() and (is_present or self.paper) else None
            shown = (
                prompt.embedding if self.paper else None if kept is None else Mask(frame=prompt.frame_idx, mask=kept)
            )
            sightings.append(Sighting(prompt.frame_idx, kept, shown))
        count = len(frames)
        return [GroundedMasks(tuple(sightings[at : at + count])) for at in range(0, len(sightings), count)]

    def track(self, objects: Iterable[KnownObject], progress: Progress | None = None) -> dict[str, Masklet]:
        """Follow objects through the whole clip, all in one batch; a masklet for each of them.

        Objects that were found on several frames start from all of them; one that was seen on none is nowhere.
        """
        objects = list(objects)
        prompts = [
            self.prompt(known.object_id, sighting)
            for known in objects
            for sighting in known.sightings.values()
            if sighting.shown_as is not None
        ]
        names = [known.object_id for known in objects]
        rles: dict[str, list[Rle | None]] = {name: [None] * self.clip.num_frames for name in names}
        scores: dict[str, list[float | None]] = {name: [None] * self.clip.num_frames for name in names}
        pending = set(range(self.clip.num_frames))
        stream = self.tracker.track(self.clip, prompts, decoder=self.decoder) if prompts else ()
        for tracked in stream:
            masks = self.masks_of(tracked.mask_logits, tracked.object_score)
            believed = tracked.object_score.float().sigmoid().tolist()
            for name, mask, score in zip(tracked.object_ids, masks, believed, strict=True):
                rles[name][tracked.frame_idx] = mask
                scores[name][tracked.frame_idx] = round(score, 4)
            pending.discard(tracked.frame_idx)
            if progress is not None:
                progress(self.clip.num_frames - len(pending), self.clip.num_frames)
        height, width = self.clip.height, self.clip.width
        return {name: Masklet(name, height, width, tuple(rles[name]), tuple(scores[name])) for name in names}

    def masks_of(
        self, mask_logits: Float[Tensor, "masks h w"], object_score: Float[Tensor, " masks"]
    ) -> list[Rle | None]:
        """Masks at the clip's size, `None` for one that is empty or whose object is judged absent.

        One after the other: many masks of a large clip at once would fill the memory. The published inference keeps
        what it predicts of an object it judges absent.
        """
        kept: list[Rle | None] = []
        for logits, score in zip(mask_logits, object_score.tolist(), strict=True):
            mask = self.full_size(logits[None])[0] if score > 0 or self.paper else None
            kept.append(encode(mask) if mask is not None and mask.any() else None)
        return kept

    def full_size(self, mask_logits: Float[Tensor, "masks h w"]) -> Bool[np.ndarray, "masks height width"]:
        """Masks at the clip's size. The published inference goes there by way of SAM 2's own (spec model 7.8)."""
        logits = mask_logits[:, None].float()
        if self.paper:
            logits = F.interpolate(logits, size=(self.side, self.side), mode="bilinear", align_corners=False)
        size = (self.clip.height, self.clip.width)
        full = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0]
        return (full > 0).cpu().numpy()

    def prompt(self, object_id: str, sighting: Sighting) -> TrackPrompt:
        """A sighting as the tracker takes it, in pixels of the model's square frame."""
        shown, frame_idx = sighting.shown_as, sighting.frame_idx
        scale = np.array([self.side / self.clip.width, self.side / self.clip.height])
        match shown:
            case Points():
                return TrackPrompt(object_id, frame_idx, points=np.array(shown.xy) * scale, labels=shown.labels)
            case Box():
                return TrackPrompt(object_id, frame_idx, box=np.array(shown.xyxy) * np.tile(scale, 2))
            case Mask():
                return TrackPrompt(object_id, frame_idx, mask=shown.dense())
            case _:
                return TrackPrompt(object_id, frame_idx, embedding=shown)


def mask_region(frame_idx: int, mask: Rle | None) -> Mask | None:
    """A found mask as a region; `None` for none."""
    return None if mask is None else Mask(frame=frame_idx, mask=mask)


def _frame(region: Points | Box | Mask) -> int:
    if region.frame is None:
        raise RegionError("the region names a time, not a frame; resolve it with at_frame(region, clip.index_at(s)).")
    return region.frame


def _prompt_tensors(prompt: TrackPrompt) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    points = None if prompt.points is None else torch.as_tensor(prompt.points, dtype=torch.float32)[None]
    labels = None if prompt.labels is None else torch.as_tensor(prompt.labels, dtype=torch.int32)[None]
    box = None if prompt.box is None else torch.as_tensor(prompt.box, dtype=torch.float32)[None]
    return points, labels, box
