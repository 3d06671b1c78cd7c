"""What SAMA-Bench's files hold, counted by subset, with every picture and mask opened."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sama_video.bench.task import Json
from sama_video.bench.tasks.files import by_subset
from sama_video.data.findings import Findings
from sama_video.data.json_items import iterate_list
from sama_video.data.mask_files import open_mask_file
from sama_video.data.sources.sama import BENCHMARK_MASKS, SamaVideo, question_files, read_sama_bench
from sama_video.data.sources.verified import verified_record

COUNTED: Final = (
    "videos",
    "frames",
    "rounds",
    "rounds_kept",
    "rounds_without_seg",
    "gt_masks",
    "regions",
    "empty_slots",
    "descriptions",
)


def bench_counts(root: Path, drops: Sequence[str], findings: Findings) -> dict[str, Json]:
    """Counts in all and by subset, and how many rounds the benchmark's own rules drop."""
    check_sources(root, findings)
    files = question_files(root, Findings())
    subsets = count_records(root, files, findings)
    total = by_subset(subsets)
    found = findings.faults + findings.notes
    return {
        "question_files": [path.name for path in files],
        "total": total,
        "per_subset": subsets,
        "dropped": {reason: found[reason] for reason in (*drops, "unanswered_last_message") if found[reason]},
        "questions_g": total.get("rounds_kept", 0),
        "questions_c": total.get("descriptions", 0),
    }


def check_sources(root: Path, findings: Findings) -> None:
    """Tell which of the four sources has no question file: a score without it is not one of this benchmark."""
    found = {path.stem.rstrip("0123456789").rstrip("_").lower() for path in question_files(root, Findings())}
    for source in BENCHMARK_MASKS:
        if source not in found:
            findings.fault("missing_file", str(root), None, f"there is no question file of {source}")


def count_records(root: Path, files: Sequence[Path], findings: Findings) -> dict[str, dict[str, int]]:
    """Counts of each subset; all but `rounds` are of rounds that are kept."""
    subsets: dict[str, dict[str, int]] = {}
    slots = _empty_slots(files)
    for video in read_sama_bench(root, findings):
        counts = subsets.setdefault(video.source, dict.fromkeys(COUNTED, 0))
        usable = verified_record(video, findings, benchmark=True)
        for name, count in _of_record(usable, slots).items() if usable is not None else ():
            counts[name] += count
    for source, counts in subsets.items():
        counts["mask_tracks"] = len(open_mask_file(root / BENCHMARK_MASKS[source], findings))
    return subsets


def _of_record(video: SamaVideo, slots: Mapping[tuple[str, str, int], int]) -> dict[str, int]:
    return {
        "videos": 1,
        "frames": video.clip.num_frames,
        "rounds": video.num_rounds,
        "rounds_kept": len(video.turns),
        "rounds_without_seg": sum(not turn.target_ids for turn in video.turns),
        "gt_masks": sum(len(turn.target_ids) for turn in video.turns),
        "regions": sum(len(turn.region_ids) for turn in video.turns),
        "empty_slots": sum(
            slots.get((str(video.file), video.record.split(" (")[0], turn.round_idx), 0) for turn in video.turns
        ),
        "descriptions": len(video.descriptions),
    }


def _empty_slots(files: Sequence[Path]) -> dict[tuple[str, str, int], int]:
    """Ground-truth slots without a mask, by file, record and round.

    Readers leave them out, as they are no targets; a loader that keeps the slot before in their place counts one mask
    too many (Q19), so their number is worth knowing.
    """
    found: dict[tuple[str, str, int], int] = {}
    for file in files:
        for number, entry in iterate_list(file, Findings()):
            rounds = entry.get("groundtruth") if isinstance(entry, Mapping) else None
            for round_idx, round_slots in enumerate(rounds if isinstance(rounds, list) else ()):
                if isinstance(round_slots, list):
                    found[str(file), f"record {number}", round_idx] = sum(slot == [] for slot in round_slots)
    return found
