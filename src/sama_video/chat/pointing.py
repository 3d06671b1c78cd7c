"""What a question points at: regions resolved in the clip, named, and laid on frames that the language model sees."""

from collections.abc import Sequence

import numpy as np

from sama_video.chat.answer import MaskletSource
from sama_video.chat.masks import MaskMaker
from sama_video.chat.objects import ObjectBook, Sighting
from sama_video.dialogue.markup import REGION_TAG, ObjectTag, RegionTag, check_tags, split_question
from sama_video.dialogue.turns import RegionPrompt
from sama_video.errors import RegionError
from sama_video.regions.rle import Rle, encode
from sama_video.regions.shapes import Box, Mask, ObjectRef, Points, Region, at_frame, check_region
from sama_video.video.clip import Clip


class Pointing:
    """Reads the regions of questions about one clip.

    Args:
        masks: Turns clicks and boxes into masks.
        book: Where the things pointed at are named.
        source: Who tracks an object when its mask is needed on another frame.
    """

    def __init__(self, clip: Clip, masks: MaskMaker, book: ObjectBook, source: MaskletSource) -> None:
        self.clip = clip
        self.masks = masks
        self.book = book
        self.source = source

    def regions_of(self, question: str, regions: Sequence[Region]) -> list[Region]:
        """The regions of a question in the order of its tags, known objects included.

        Raises:
            DialogueError: Tags and regions do not agree.
        """
        check_tags(question, len(regions))
        given = iter(regions)
        ordered: list[Region] = []
        for piece in split_question(question):
            if isinstance(piece, RegionTag):
                ordered.append(next(given))
            elif isinstance(piece, ObjectTag):
                ordered.append(ObjectRef(piece.object_id))
        return ordered

    def resolve(self, region: Region, *, refining: bool = False) -> Region:
        """The region with its moment as a frame, checked against the clip."""
        if not isinstance(region, ObjectRef) and region.seconds is not None:
            region = at_frame(region, self.clip.index_at(region.seconds))
        clip = self.clip
        check_region(region, num_frames=clip.num_frames, height=clip.height, width=clip.width, refining=refining)
        return region

    def name(self, region: Region) -> RegionPrompt:
        """The region resolved, and the object it shows: a known one where the masks agree, else a new one."""
        region = self.resolve(region)
        if isinstance(region, ObjectRef):
            return RegionPrompt(region, self.book[region.object].object_id)
        frame_idx = frame_of(region)
        mask = self.masks.region_mask(region)
        known = self.book.find({frame_idx: mask})
        if known is None:
            known = self.book.meet([Sighting(frame_idx, mask, region)])
        elif frame_idx not in known.sightings:
            sightings = {**known.sightings, frame_idx: Sighting(frame_idx, mask)}
            self.book.update(known.object_id, sightings=sightings)
        return RegionPrompt(region, known.object_id)

    def place(self, prompt: RegionPrompt, visible: Sequence[int]) -> tuple[int, Rle]:
        """Frame and mask by which the language model sees a region.

        A region on one of the frames that it sees in full is seen there. A known object, and a region elsewhere, is
        seen on the first of those frames that shows it; it is tracked to them if need be. Where none of them shows a
        region, the published inference goes on with an empty mask on the first (spec model 6.6).

        Args:
            visible: Frames that the model sees in full, in order.

        Raises:
            RegionError: None of them shows it, and the protocol is not the published one.
        """
        region, known = prompt.region, self.book[prompt.object_id]
        frames = visible
        if not isinstance(region, ObjectRef):
            frame_idx = frame_of(region)
            frames = [frame_idx, *visible] if frame_idx in visible else visible
        if not any(known.mask_on(frame_idx)[1] for frame_idx in frames):
            self.source.masklet(prompt.object_id)
            known = self.book[prompt.object_id]
        for frame_idx in frames:
            mask = known.mask_on(frame_idx)[1]
            if mask is not None:
                return frame_idx, mask
        if self.masks.paper and not isinstance(region, ObjectRef):
            return visible[0], encode(np.zeros((self.clip.height, self.clip.width), dtype=np.bool_))
        raise RegionError(
            f"{prompt.object_id} is on none of the frames the model looks at ({', '.join(map(str, visible))}); "
            "point at it on a frame that shows it, or ask with span= around one."
        )


def frame_of(region: Points | Box | Mask) -> int:
    """The frame of a region whose moment is resolved."""
    if region.frame is None:
        raise RegionError("the region names a time, not a frame; resolve it with at_frame(region, clip.index_at(s)).")
    return region.frame


def model_question(question: str) -> str:
    """The question as the model reads it: every tag a `<region>`."""
    return "".join(piece if isinstance(piece, str) else REGION_TAG for piece in split_question(question))
