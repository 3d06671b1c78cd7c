"""The server that one writes in an afternoon: a model of `transformers` behind FastAPI, one lock, nothing kept.

    python benchmarks/serving_plain.py --port 8001

Every request opens the clip, shows its frames to the model, reads the whole conversation, generates, and tracks what
the answer grounds. Our own tracker follows the objects, all in one batch, which flatters this side.
"""

import argparse
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from transformers import TextIteratorStreamer

import sama_video as sama
from sama_video.chat.masks import MaskMaker
from sama_video.chat.objects import KnownObject
from sama_video.dialogue.markup import SEG, parse_answer
from sama_video.model.frame_choice import context_frames, dense_frames
from sama_video.model.presets import BUNDLED_NANO
from sama_video.model.processing_sama import TurnSpec
from sama_video.model.segmenter import Segmenter
from sama_video.model.tracking import Tracker
from sama_video.video.clip import Clip
from sama_video.video.reader import open_video

MAX_NEW_TOKENS = 256


class Plain:
    """Model and processor, and the lock around them."""

    def __init__(self, folder: Path, device: str) -> None:
        model: Any = sama.SamaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.model = model.to(device).eval()
        self.processor = sama.SamaProcessor.from_pretrained(folder)
        self.segmenter = Segmenter(self.model.model.segmenter)
        self.lock = threading.Lock()

    def answer(self, path: str, turns: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
        """Text as it comes, then the whole answer, then its masks."""
        with self.lock:
            clip = open_video(path)
            frames = context_frames(self.model.config, clip.num_frames)
            dense = dense_frames(self.model.config, frames)
            inputs = self.inputs(clip, frames, dense, turns)
            streamer = TextIteratorStreamer(self.processor.tokenizer, skip_prompt=True)
            found: dict[str, Any] = {}
            thread = threading.Thread(target=self.generate, args=(inputs, streamer, found))
            thread.start()
            for text in streamer:
                yield {"text": text}
            thread.join()
            ids = found["sequences"][0, inputs["input_ids"].shape[1] :].tolist()
            raw = self.processor.raw_answer(ids)
            yield {"raw": raw, "content": parse_answer(raw).text}
            yield {"masks": self.masks(clip, dense, found["hidden_states"], ids)}

    def inputs(self, clip: Clip, frames: Any, dense: Any, turns: list[dict[str, str]]) -> Any:
        """The whole conversation, its last answer open."""
        place = {frame: position for position, frame in enumerate(frames)}
        specs = [
            TurnSpec(
                turn["question"],
                dense_positions=tuple(place[frame] for frame in dense) if number == 0 else (),
                dense_times=tuple(float(clip.times[frame]) for frame in dense) if number == 0 else (),
                answer=turn.get("answer"),
            )
            for number, turn in enumerate(turns)
        ]
        return self.processor([clip.frames(frames)], [specs])

    @torch.inference_mode()
    def generate(self, inputs: Any, streamer: TextIteratorStreamer, found: dict[str, Any]) -> None:
        """Generate in a thread, as the streamer wants it."""
        try:
            found.update(
                self.model.generate(
                    **inputs,
                    max_new_tokens=MAX_NEW_TOKENS,
                    do_sample=False,
                    eos_token_id=self.processor.tokenizer.eos_token_id,
                    streamer=streamer,
                    output_hidden_states=True,
                    return_dict_in_generate=True,
                )
            )
        finally:
            streamer.end()

    @torch.inference_mode()
    def masks(self, clip: Clip, dense: Any, hidden_states: Any, ids: list[int]) -> list[Any]:
        """A masklet for each `[SEG]` that shows something."""
        seg = self.processor.tokenizer.convert_tokens_to_ids(SEG)
        # The state at a token belongs to the step that read it, the one after it was chosen.
        places = [at + 1 for at, token in enumerate(ids) if token == seg and at + 1 < len(hidden_states)]
        if not places:
            return []
        states = torch.stack([hidden_states[place][-1][0, -1] for place in places])
        maker = MaskMaker(Tracker(self.segmenter, self.processor.segmenter_pixels), clip)
        found = maker.ground(self.model.model.grounding_head(states), sorted(dense))
        objects = [
            KnownObject(f"obj{number}", {sighting.frame_idx: sighting for sighting in one.sightings})
            for number, one in enumerate(found, start=1)
            if one.is_visible
        ]
        return [masklet.to_json() for masklet in maker.track(objects).values()]


def app_of(plain: Plain) -> FastAPI:
    """One address."""
    app = FastAPI()

    @app.post("/chat")
    def chat(body: dict[str, Any]) -> StreamingResponse:
        rows = (json.dumps(row) + "\n" for row in plain.answer(body["clip"], body["turns"]))
        return StreamingResponse(rows, media_type="application/x-ndjson")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8001, help="0 takes a free one")
    parser.add_argument("--model", type=Path, default=BUNDLED_NANO)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    app = app_of(Plain(args.model, args.device))
    with socket.create_server(("127.0.0.1", args.port)) as listener:
        print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])


if __name__ == "__main__":
    main()
