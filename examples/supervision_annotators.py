"""Draw an answer's masks with the annotators of `supervision`.

    python examples/supervision_annotators.py clip.mp4 "Segment the cyan triangle." drawn.mp4

Needs `pip install supervision`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import supervision as sv

import sama_video as sama
from sama_video.data.findings import Findings
from sama_video.data.formats import clip_detections
from sama_video.data.formats.exporting import clips_below
from sama_video.video.writer import write_video

video, question, out = sys.argv[1:]
with TemporaryDirectory() as scratch, sama.load("nano").chat(video) as chat:
    print(chat.ask(question, ground=True).text)
    chat.save(scratch)
    [annotated] = clips_below(Path(scratch), Findings())
masks, labels = sv.MaskAnnotator(), sv.LabelAnnotator()


def drawn():
    """The clip's frames, each with its objects."""
    for (_, frame), found in zip(annotated.open().stream(), clip_detections(annotated), strict=True):
        picture = masks.annotate(frame[..., ::-1].copy(), found)  # supervision draws on BGR
        yield labels.annotate(picture, found, labels=list(found["class_name"]))[..., ::-1]


write_video(out, drawn(), times=sama.open_video(video).times)
