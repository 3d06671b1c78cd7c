"""Records of the diagnostic world in the layout of SAMA-Bench: one question file and one mask file."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from sama_video.data.records import DialogueRecord, FileClip
from sama_video.data.synthetic.questions import Question, Talk, plain_description
from sama_video.data.synthetic.story import Story
from sama_video.dialogue.markup import POOLED_SLOT, REGION_TAG

Json: TypeAlias = Any

QUESTION_FILE: Final = "mevis.json"
MASK_FILE: Final = "Mevis_mask_dict_val.json"

_MOST_OBJECTS: Final = 10  # ids of one clip's objects
_MOST_TURNS: Final = 100  # ids of one clip's questions
_NAME: Final = re.compile(r"<obj(\d+)>")


def write_bench_files(folder: Path, clips: Iterable[tuple[DialogueRecord, Talk, Story]]) -> None:
    """Write both files, clip by clip; the question file appears last, so that where it is, all is."""
    partials = [folder / f"{name}.partial" for name in (MASK_FILE, QUESTION_FILE)]
    with partials[0].open("w", encoding="utf-8") as masks, partials[1].open("w", encoding="utf-8") as questions:
        masks.write("{")
        questions.write("[")
        for number, (record, talk, story) in enumerate(clips):
            separator = ",\n" if number else "\n"
            questions.write(separator + _text(bench_entry(number, record, talk, story)))
            entries = (f"{_text(key)}: {_text(track)}" for key, track in bench_masks(number, record))
            masks.write(separator + ",\n".join(entries))
        masks.write("\n}\n")
        questions.write("\n]\n")
    for partial in partials:
        partial.replace(partial.with_suffix(""))


def bench_entry(number: int, record: DialogueRecord, talk: Talk, story: Story) -> dict[str, Json]:
    """A clip's entry of the question file; follow-ups are put so that each can be asked alone, as SAMA-Bench does.

    Args:
        number: The clip's place in the file, from which all ids follow.
    """
    clip = record.clip
    assert isinstance(clip, FileClip)
    rounds = [_round(question, number, turn, talk) for turn, question in enumerate(talk.turns)]
    tags = {f"<obj{place}>": idx for place, idx in enumerate(talk.order)}
    shown = {tag: idx for tag, idx in tags.items() if idx in story.shown}
    return {
        "video": clip.path.removeprefix("sama_bench/"),
        "video_id": record.record_id,
        "height": clip.height,
        "width": clip.width,
        "frames": [f"{frame:05d}" for frame in range(clip.num_frames)],
        "anno_map": [object_id(number, place) for place in range(len(talk.order))],
        "obj_masks": [asked for asked, _, _ in rounds],
        "groundtruth": [wanted for _, wanted, _ in rounds],
        "conversation": [message for _, _, messages in rounds for message in messages],
        "description": {tag: plain_description(story, idx) for tag, idx in shown.items()},
        "description_id": {tag: object_id(number, talk.order.index(idx)) for tag, idx in shown.items()},
    }


def _round(question: Question, number: int, turn: int, talk: Talk) -> tuple[list[int], list[list[int]], list[Json]]:
    """Region ids, target ids and the two messages of one turn."""
    text, regions = (question.text, question.regions) if question.alone is None else question.alone
    pointed = iter([object_id(number, talk.order.index(region.object_idx)) for region in regions])
    asked: list[int] = []

    def slot(found: re.Match[str]) -> str:
        asked.append(next(pointed) if found[0] == REGION_TAG else object_id(number, int(found[1]) - 1))
        return POOLED_SLOT

    told = re.sub(rf"{re.escape(REGION_TAG)}|{_NAME.pattern}", slot, text)
    wanted = [[object_id(number, talk.order.index(idx)) for idx in group] for group in question.targets]
    human = {"from": "human", "value": told, "question_id": number * _MOST_TURNS + turn + 1}
    return asked, wanted, [human, {"from": "gpt", "value": question.answer}]


def bench_masks(number: int, record: DialogueRecord) -> Iterator[tuple[str, Json]]:
    """A clip's entries of the mask file."""
    for place, masklet in enumerate(record.objects):
        yield str(object_id(number, place)), [None if rle is None else dict(rle) for rle in masklet.rles]


def object_id(number: int, place: int) -> int:
    """The annotation id of one object of the clip at this place of the file."""
    return number * _MOST_OBJECTS + place + 1


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
