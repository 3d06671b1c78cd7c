"""The benchmarks, one short file each; nothing is imported before it is asked for."""

import importlib
from typing import Final

from sama_video.bench.task import Task
from sama_video.errors import ConfigError

TASKS: Final[dict[str, tuple[str, str]]] = {
    "sama-bench-g": ("sama_bench:SamaBenchG", "SAMA-Bench, grounded chat: answers whose phrases have masks"),
    "sama-bench-c": ("sama_bench:SamaBenchC", "SAMA-Bench, captions of one region"),
    "mevis-valid-u": ("expressions:MevisValidU", "MeViS valid_u: motion expressions, local ground truth"),
    "mevis-valid": ("expressions:MevisValid", "MeViS valid: for the competition server"),
    "ref-youtube-vos": ("expressions:RefYoutubeVos", "Ref-YouTube-VOS valid: for the competition server"),
    "ref-davis17": ("ref_davis17:RefDavis17", "Ref-DAVIS17 valid, by expression and by annotator"),
    "revos": ("revos:Revos", "ReVOS: referring and reasoning expressions"),
    "ref-sav": ("expressions:RefSav", "Ref-SAV: long descriptions"),
    "refcoco": ("refcoco:RefCoco", "RefCOCO, UNC splits"),
    "refcoco+": ("refcoco:RefCocoPlus", "RefCOCO+, UNC splits"),
    "refcocog": ("refcoco:RefCocoG", "RefCOCOg, UMD splits"),
    "gcg": ("gcg:ImageGcg", "Grounded captions of pictures (GranD-f)"),
    "region-caption": ("region_caption:RegionCaption", "Captions of regions of pictures (RefCOCOg val)"),
    "videorefer-d": ("videorefer:VideoReferD", "VideoRefer-Bench-D: descriptions of objects, judged"),
    "videorefer-q": ("videorefer:VideoReferQ", "VideoRefer-Bench-Q: multiple choice about objects"),
    "pixelqa": ("pixelqa:PixelQa", "PixelQA: point or box in, mask and letter out"),
    "synth": ("synth:Synth", "The project's synthetic world, level 2; needs no download"),
    "synth-1": ("synth:SynthEasy", "The project's synthetic world, level 1 (easier)"),
    "synth-2": ("synth:SynthMiddle", "The project's synthetic world, level 2: the same as synth"),
    "synth-3": ("synth:SynthHard", "The project's synthetic world, level 3 (harder)"),
}


def load_task(name: str) -> Task:
    """The benchmark of that name."""
    if name not in TASKS:
        raise ConfigError(f"no benchmark {name!r}; `sama bench list` names them: {', '.join(TASKS)}.")
    module, _, kind = TASKS[name][0].partition(":")
    task = getattr(importlib.import_module(f"{__package__}.{module}"), kind)()
    assert isinstance(task, Task)
    return task
