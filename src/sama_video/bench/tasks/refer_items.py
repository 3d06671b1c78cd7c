"""What the benchmarks on VideoRefer-Bench's files share: objects pointed at, choices, and a check of both."""

from collections.abc import Iterable
from typing import Any

from sama_video.bench.parsing import clean_text, letter_strict, option_letter, videorefer_letter_reference
from sama_video.bench.task import Json, Mode, Prediction, TaskOptions
from sama_video.bench.tasks.pointing import Kind, point_near
from sama_video.data.findings import FaultError, Findings
from sama_video.data.mask_entries import FORM_NOTES
from sama_video.data.sources.verified import check_frames
from sama_video.data.sources.videorefer import MarkedObject, ReferItem, ReferQuestion
from sama_video.dialogue.markup import REGION_TAG
from sama_video.regions.rle import Rle, area


def shown(item: ReferItem, kind: Kind, options: TaskOptions, sample_id: str = "") -> dict[str, Any]:
    """What questions about an item have in common: its video, and its objects pointed at near its frame."""
    sample_id = sample_id or item.item_id
    masks = [_masks_near(marked, item) for marked in item.objects]
    pointed = point_near(masks, item.frame_idx, kind, options, sample_id)
    return {
        "sample_id": sample_id,
        "video": item.video,
        "subset": "",
        "question_id": item.item_id,
        "open_clip": item.clip.open,
        "regions": pointed.regions,
        "prompt": pointed.prompt,
    }


def choice_facts(item: ReferQuestion) -> dict[str, Json]:
    """What a score of a choice has to know."""
    return {"options": list(item.options), "answer": option_letter(item.answer), "type": item.kind}


def check_question(item: ReferQuestion) -> None:
    """Refuse a question that cannot be asked or scored.

    Raises:
        FaultError: Its tags and objects differ in number, or its answer is none of its options.
    """
    tags = item.question.count(REGION_TAG)
    if tags != len(item.objects):
        raise item.place.fault("region_count_mismatch", f"the question has {tags} tags and {len(item.objects)} objects")
    letters = [option_letter(option) for option in item.options]
    if None in letters or option_letter(item.answer) not in letters:
        raise item.place.fault("schema_error", f"the answer {item.answer!r} is none of the options")


def read_letter(prediction: Prediction, mode: Mode) -> str | None:
    """The option that an answer names; None where it names none."""
    reply = clean_text(prediction.pred_text or "")
    if mode == "strict":
        return letter_strict(reply, prediction.facts["options"])
    # The published script stops at an empty answer.
    return videorefer_letter_reference(reply) if reply.replace(".", "") else None


def count_items(items: Iterable[ReferItem], findings: Findings) -> dict[str, Json]:
    """Videos, items and masks, every frame and mask opened."""
    videos: dict[str, int] = {}
    counts = {"items": 0, "questions": 0, "masks": 0}
    for item in items:
        counts["items"] += 1
        try:
            if isinstance(item, ReferQuestion):
                check_question(item)
            if item.video not in videos:
                check_frames(item.clip, item.place)
                videos[item.video] = item.clip.num_frames
            counts["questions"] += 1
            counts["masks"] += sum(_check_masks(marked, item, findings) for marked in item.objects)
        except FaultError as error:
            findings.take(error)
    return {"videos": len(videos), "video_frames": videos, **counts}


def _check_masks(marked: MarkedObject, item: ReferItem, findings: Findings) -> int:
    forms: set[str] = set()
    if max(marked.entries, default=0) >= item.clip.num_frames:
        raise marked.place.fault("track_length_mismatch", f"frame {max(marked.entries)} of {item.clip.num_frames}")
    masks = [marked.mask(frame_idx, item.clip.size, forms) for frame_idx in marked.entries]
    for form in sorted(forms):
        findings.note(form, marked.place.file, marked.place.record, FORM_NOTES[form])
    if not any(rle is not None and area(rle) for rle in masks):
        raise marked.place.fault("prompt_never_visible", "no frame shows the object")
    if marked.mask(item.frame_idx, item.clip.size) is None:
        findings.note("prompt_not_visible", marked.place.file, marked.place.record, f"not on frame {item.frame_idx}")
    return sum(rle is not None for rle in masks)


def _masks_near(marked: MarkedObject, item: ReferItem) -> dict[int, Rle]:
    """Masks with pixels: that of the item's frame alone if it has any, else all."""
    found: dict[int, Rle] = {}
    for frame_idx in sorted(marked.entries, key=lambda idx: abs(idx - item.frame_idx)):
        rle = marked.mask(frame_idx, item.clip.size)
        if rle is not None and area(rle):
            found[frame_idx] = rle
            break
    return found
