"""What the sets of conversations, grounded captions and annotated videos hold, for `sama data prepare`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

from sama_video.data.counting import Advance, CountPart
from sama_video.data.findings import Findings
from sama_video.data.sources.chat_univi import read_chat_univi
from sama_video.data.sources.grounded_captions import read_grounded_captions
from sama_video.data.sources.llava import read_llava
from sama_video.data.sources.osprey import FILES, read_osprey
from sama_video.data.sources.sav import read_sav
from sama_video.data.sources.videorefer_700k import read_videorefer_700k
from sama_video.data.sources.vidstg import read_vidstg

Item = TypeVar("Item")


def _each(items: Iterable[Item], advance: Advance) -> Iterable[Item]:
    for item in items:
        advance(1)
        yield item


def _chat_univi(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    turns = [len(talk.turns) for talk in _each(read_chat_univi(root, findings), advance)]
    return {"conversations": len(turns), "turns": sum(turns)}


def _llava(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    found = [(len(talk.turns), talk.clip is None) for talk in _each(read_llava(root, findings), advance)]
    turns, bare = sum(turns for turns, _ in found), sum(bare for _, bare in found)
    return {"conversations": len(found), "turns": turns, "of them without a picture": bare}


def _osprey(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    counts = dict.fromkeys(("pictures", "regions", "turns", "descriptions"), 0)
    for file in FILES:
        for one in _each(read_osprey(root, file, findings), advance):
            counts["pictures"] += 1
            counts["regions"] += len(one.segmentations)
            counts["turns"] += len(one.turns)
            counts["descriptions"] += len(one.descriptions)
    return counts


def _grounded_captions(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    phrases = [len(one.phrases) for one in _each(read_grounded_captions(root, part, findings), advance)]
    return {"captions": len(phrases), "phrases": sum(phrases)}


def _videorefer_700k(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    counts = dict.fromkeys(("conversations", "turns", "objects"), 0)
    for file in sorted(root.glob("*.json")):
        for one in _each(read_videorefer_700k(file, root, findings), advance):
            counts["conversations"] += 1
            counts["turns"] += len(one.turns)
            counts["objects"] += len(one.objects)
    return counts


def _vidstg(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    found = _each(read_vidstg(root, part.removeprefix("boxes-"), root / "vidor", findings), advance)
    sentences = [len(one.sentences) for one in found]
    return {"videos and spans": len(sentences), "sentences": sum(sentences)}


def _sav(root: Path, base: Path, part: str, findings: Findings, advance: Advance) -> dict[str, int]:
    masklets = [len(one.object_ids) for one in _each(read_sav(root / "sav_train", findings), advance)]
    return {"videos": len(masklets), "masklets": sum(masklets)}


COUNTERS: Final[dict[str, CountPart]] = {
    "chat_univi": _chat_univi,
    "llava": _llava,
    "osprey": _osprey,
    "grounded_captions": _grounded_captions,
    "videorefer_700k": _videorefer_700k,
    "vidstg": _vidstg,
    "sav": _sav,
}
"""By the reader's name in `data_sets.yaml`."""
