"""One question about every video of a folder, a few decoded together, answers as JSON lines.

    python examples/batch_folder.py videos/ "Describe the video." answers.jsonl

After a stop it goes on where it was. A video that cannot be used gets a line with its error.
"""

import json
import sys
from pathlib import Path

import sama_video as sama

TOGETHER, SUFFIXES = 4, {".mp4", ".mov", ".mkv", ".webm", ".avi"}

folder, question, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
done = {json.loads(line)["video"] for line in out.read_text().splitlines()} if out.exists() else set()
videos = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.name not in done]
model = sama.load(sys.argv[4] if len(sys.argv) > 4 else "nano")


def answers(paths):
    """A line for each video; if one of them is broken, each is asked alone."""
    try:
        for path, answer in zip(paths, model.answer_batch([(path, question) for path in paths]), strict=True):
            objects = {name: masklet.to_json() for name, masklet in answer.masklets.items()}
            yield {"video": path.name, "text": answer.text, "objects": objects}
    except sama.SamaError as error:
        if len(paths) == 1:
            yield {"video": paths[0].name, "error": str(error)}
            return
        for path in paths:
            yield from answers([path])


with out.open("a") as file:
    for start in range(0, len(videos), TOGETHER):
        for line in answers(videos[start : start + TOGETHER]):
            file.write(json.dumps(line) + "\n")
            print(line["video"], "->", line.get("text") or line.get("error"), flush=True)
