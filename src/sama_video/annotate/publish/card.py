"""The data card: what a data set holds, where it comes from, under which terms, and how it was made."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

from sama_video.annotate.publish.official import Sample
from sama_video.annotate.stages import Json

SCHEMA: Final = "sama-dataset/1"
OTHER_LICENCE: Final = "other"
_MOST_NAMES: Final = 20


@dataclass
class PartCounts:
    """What one part of the split holds."""

    clips: int = 0
    objects: int = 0
    records: int = 0
    turns: int = 0
    phrases: int = 0
    seconds: float = 0.0
    tasks: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)

    def add(self, sample: Sample, seconds: float | int) -> None:
        """Count a sample."""
        self.clips += 1
        self.seconds += seconds
        self.objects += len(sample.subject.masklets)
        self.records += len(sample.records)
        self.sources[sample.subject.source] += 1
        self.licences[sample.subject.licence] += 1
        for record in sample.records:
            self.turns += len(record.turns)
            self.phrases += sum(len(turn.targets) for turn in record.turns)
            self.tasks[record.task] += 1

    def to_json(self) -> dict[str, Json]:
        """As `dataset.json` has it."""
        plain = {name: getattr(self, name) for name in ("clips", "objects", "records", "turns", "phrases")}
        named = {name: dict(sorted(getattr(self, name).items())) for name in ("tasks", "sources", "licences")}
        return {**plain, "seconds": round(self.seconds, 1), **named}


@dataclass(frozen=True)
class Making:
    """How a data set was made.

    Attributes:
        title: What the user calls it.
        version: Of this program.
        model: That wrote the texts.
        prompts: Versions of the wording.
        stages: Counts of each stage, as the report has them.
        settings: Hash of all settings.
        form: In what the records are: `jsonl`, `parquet` or `webdataset`.
    """

    title: str
    version: str
    model: str
    prompts: Sequence[str]
    stages: Sequence[Mapping[str, Json]]
    settings: str
    form: str


def card_text(making: Making, parts: Mapping[str, PartCounts], files: Mapping[str, Mapping[str, Json]]) -> str:
    """`README.md` of a data set, with the head that a hub reads.

    Args:
        files: Size and hash of each file but the clips'.
    """
    sections = [
        f"---\n{yaml.safe_dump(_head(making, parts), sort_keys=False, allow_unicode=True)}---\n",
        f"# {making.title}\n",
        _about(making, parts),
        _parts_table(parts),
        _counted("Tasks", "records", {name: one.tasks for name, one in parts.items()}),
        _counted("Sources", "clips", {name: one.sources for name, one in parts.items()}),
        _counted("Licences", "clips", {name: one.licences for name, one in parts.items()}),
        "The terms of each clip are those of its source; each record names both.\n",
        _stages_table(making.stages),
        _files_table(files),
    ]
    return "\n".join(sections)


def _head(making: Making, parts: Mapping[str, PartCounts]) -> dict[str, Json]:
    licences = sorted({licence for one in parts.values() for licence in one.licences})
    spdx = licences[0].lower() if len(licences) == 1 and " " not in licences[0] else OTHER_LICENCE
    head: dict[str, Json] = {
        "license": spdx,
        "pretty_name": making.title,
        "task_categories": ["video-text-to-text", "mask-generation"],
        "tags": ["video", "grounding", "referring", "segmentation", "synthetic-text"],
    }
    patterns = {"jsonl": "{part}.jsonl", "parquet": "{part}/{part}-*.parquet", "webdataset": "{part}/{part}-*.tar"}
    named = [{"split": name, "path": patterns[making.form].format(part=name)} for name in parts]
    return head | {"configs": [{"config_name": "default", "data_files": named}]}


def _about(making: Making, parts: Mapping[str, PartCounts]) -> str:
    clips = sum(one.clips for one in parts.values())
    return (
        f"Grounded dialogues about {clips} clips: questions that point at things, and answers whose phrases carry "
        f"masks through the clip. The texts were written by `{making.model}` (wording {', '.join(making.prompts)}) "
        "from pictures with numbered objects, and kept where they passed every check. No person has looked at a text "
        "unless its record says so.\n\n"
        f"Made by sama-video {making.version}, settings `{making.settings}`. Train on it with "
        f"`sama train lora-own-data data={_opened(making.form)}`.\n"
    )


def _opened(form: str) -> str:
    return {"jsonl": "train.jsonl", "parquet": "train", "webdataset": "train, unpacked"}[form]


def _parts_table(parts: Mapping[str, PartCounts]) -> str:
    columns = ("clips", "objects", "records", "turns", "phrases")
    rows = [[name, *(f"{getattr(one, column)}" for column in columns)] for name, one in parts.items()]
    return _table(["part", *columns], rows)


def _counted(title: str, unit: str, counts: Mapping[str, Counter[str]]) -> str:
    total: Counter[str] = sum(counts.values(), Counter())
    rows = [[name, *(str(one[name]) for one in counts.values())] for name, _ in total.most_common(_MOST_NAMES)]
    rest = len(total) - len(rows)
    more = f"\nand {rest} more.\n" if rest > 0 else ""
    return f"## {title} ({unit})\n\n{_table([title.lower(), *counts], rows)}{more}"


def _stages_table(stages: Sequence[Mapping[str, Json]]) -> str:
    rows = [[str(row["stage"]), str(row["in"]), str(row["out"]), _reasons(row["dropped"])] for row in stages]
    return f"## How it was made\n\n{_table(['stage', 'in', 'out', 'dropped'], rows)}"


def _files_table(files: Mapping[str, Mapping[str, Json]]) -> str:
    rows = [[f"`{name}`", str(one["bytes"]), f"`{one['sha256'][:16]}`"] for name, one in files.items()]
    return f"## Files\n\n{_table(['file', 'bytes', 'SHA-256, beginning'], rows)}"


def _reasons(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items())) or "none"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
