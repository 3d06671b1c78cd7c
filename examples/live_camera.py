"""Watch a camera, an RTSP stream or a file, follow what an answer names, and ask again every few seconds.

    python examples/live_camera.py rtsp://camera.local/stream "Segment the red star." 5
    python examples/live_camera.py /dev/video0 "Segment the person." 5

Frames are pushed one by one; the session keeps the last ten seconds, however long the stream runs.
"""

import sys
import time

import av

import sama_video as sama

FPS = 8.0
source, question, every = sys.argv[1], sys.argv[2], float(sys.argv[3])
kind = "v4l2" if source.startswith("/dev/video") else None  # "avfoundation" on macOS, "dshow" on Windows
settings = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}

live = sama.load("nano").live(window_seconds=10.0)
due = next_question = 0.0
with av.open(source, format=kind, options=settings, timeout=10) as stream:
    began_at = None
    for frame in stream.decode(video=0):
        began_at = frame.time if began_at is None else began_at
        seconds = frame.time - began_at
        if seconds < due:
            continue
        started = time.monotonic()
        masks = live.push(frame.to_ndarray(format="rgb24"), seconds=seconds)
        visible = [name for name, mask in masks.items() if mask is not None]
        print(f"{seconds:.1f} s: {', '.join(visible) or 'nothing'} in sight", flush=True)
        if seconds >= next_question:
            print(f"{live.ask(question).text} ({live.num_frames} frames held)", flush=True)
            next_question = seconds + every
        # As much of the stream is skipped as the work took, so that what is looked at is always of now.
        due = seconds + max(1 / FPS, time.monotonic() - started)
