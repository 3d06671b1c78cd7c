"""Find things in a video by words, and write their masks as a CVAT task, for people to correct.

    python examples/export_cvat.py clip.mp4 "the cyan triangle" "the purple ring" task/

In CVAT: a task of the pictures in task/*/images, then "Upload annotations", format "CVAT for video 1.1". What people
made of it comes back with `sama data import task/clip --from cvat --out mine`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import sama_video as sama
from sama_video.data.findings import Findings
from sama_video.data.formats import FORMATS
from sama_video.data.formats.exporting import clips_below

video, *names, out = sys.argv[1:]
findings = Findings()
with TemporaryDirectory() as scratch, sama.load("nano").chat(video) as chat:
    for name in names:
        answer = chat.ask(f"Segment {name}.", ground=True)
        print(f"{name}: {', '.join(answer.masklets) or 'not found'}")
    chat.save(scratch)
    FORMATS["cvat-video"].write(clips_below(Path(scratch), findings), Path(out), findings=findings)
for reason, count in findings.notes.items():
    print(f"note: {reason} ({count})")
print(*sorted(Path(out).glob("*/annotations.xml")))
