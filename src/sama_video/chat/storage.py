"""Sessions on disk: the `sama-session/1` files that everybody reads, and what it takes to go on.

A folder holds `answers.json` and `masklets/OBJ.json` (the public form), and `session.json` with the exact token ids,
frames and sightings from which the next answer follows. A clip that came as an array, or live, is stored beside them.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
import torch

from sama_video.chat.objects import KnownObject
from sama_video.chat.session import ChatSession
from sama_video.chat.standing import Standing
from sama_video.chat.turn_state import object_from_json, object_to_json, turn_from_json, turn_to_json
from sama_video.dialogue.turns import Dialogue
from sama_video.errors import SessionError
from sama_video.model.decoding import Sampling
from sama_video.regions.masklet import Masklet
from sama_video.video.clip import ArrayFrames, Clip
from sama_video.video.reader import open_video

if TYPE_CHECKING:
    from sama_video.chat.live import LiveSession
    from sama_video.chat.loading import LoadedModel

SCHEMA = "sama-session/1"
STATE_SCHEMA = "sama-session-state/1"
ANSWERS, STATE, MASKLETS, FRAMES = "answers.json", "session.json", "masklets", "frames.npz"


def session_json(session: ChatSession) -> dict[str, Any]:
    """The public form of a session, `answers.json`."""
    clip = session.clip
    return {
        "schema": SCHEMA,
        "video": {
            "source": clip.source,
            "sha256": clip.sha256,
            "frames": clip.num_frames,
            "height": clip.height,
            "width": clip.width,
            "seconds": round(clip.duration, 6),
        },
        "model": {
            "name": session.origin.name,
            "revision": session.origin.revision,
            "protocol": session.chooser.protocol,
        },
        "turns": session.dialogue.to_json(),
        "objects": [{"id": name, "masklet": f"{MASKLETS}/{name}.json"} for name in session.book.object_ids],
    }


def save_session(session: ChatSession, folder: str | Path, *, live: Mapping[str, Any] | None = None) -> None:
    """Write a session; every object is tracked first. Each file appears whole or not at all.

    Args:
        live: What a live session adds to a conversation about its window.
    """
    folder = Path(folder)
    session.track_all()
    try:
        (folder / MASKLETS).mkdir(parents=True, exist_ok=True)
        for name in session.book.object_ids:
            write_json(folder / MASKLETS / f"{name}.json", session.masklet(name).to_json())
        if Path(session.clip.source).exists():
            (folder / FRAMES).unlink(missing_ok=True)
        else:
            _write_whole(folder / FRAMES, lambda file: _write_frames(file, session.clip))
        write_json(folder / STATE, _state_json(session) | ({} if live is None else {"live": dict(live)}))
        write_json(folder / ANSWERS, session_json(session))
    except OSError as error:
        raise SessionError(
            f"the session cannot be saved in {folder}: {error.strerror}; choose a folder you may write."
        ) from error
    for stale in set((folder / MASKLETS).glob("*.json")) - {
        folder / MASKLETS / f"{n}.json" for n in session.book.object_ids
    }:
        stale.unlink()


def restore_session(model: "LoadedModel", folder: str | Path) -> "ChatSession | LiveSession":
    """The saved session on the same clip, whose next answer is what it would have been; a live one with its window.

    Raises:
        SessionError: Files are missing or damaged, the clip has changed, or another model's session is there.
    """
    folder = Path(folder)
    state, public = _read(folder / STATE, STATE_SCHEMA), _read(folder / ANSWERS, SCHEMA)
    try:
        if public["model"]["revision"] != model.revision:
            raise SessionError(
                f"the session in {folder} was held with {public['model']['name']} ({public['model']['revision']}), but "
                f"{model.name} ({model.revision}) is loaded; load the model it was held with."
            )
        session = model.chat(_open_clip(folder, public["video"], state), **state["options"])
        session.sampling = Sampling(**state["sampling"])
        device = session.masks.tracker.segmenter.device
        objects = {row["id"]: _object_from_json(row, folder, device) for row in state["objects"]}
        turns = tuple(turn_from_json(row) for row in state["turns"])
        book = objects, int(state["objects_met"])
        session.stand(Standing(turns, Dialogue.from_json(public["turns"]), book))
        if "live" not in state:
            return session
        from sama_video.chat.live import LiveSession

        return LiveSession.over(session, state["live"])
    except (KeyError, TypeError, ValueError, AttributeError, BadZipFile, EOFError) as error:
        raise SessionError(
            f"the session in {folder} is damaged ({error!r}); restore from an undamaged copy."
        ) from error


def write_json(path: Path, document: object) -> None:
    """Write a document in one step: a reader sees the old file or the whole new one."""
    text = json.dumps(document, ensure_ascii=False)
    _write_whole(path, lambda file: file.write(text.encode()))


def _write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _state_json(session: ChatSession) -> dict[str, Any]:
    return {
        "schema": STATE_SCHEMA,
        "path": str(Path(session.clip.source).absolute()),
        "options": {
            "protocol": session.chooser.protocol,
            "max_frames": session.chooser.max_frames,
            "dense_frames": session.chooser.num_dense,
            "frame_choice": session.chooser.frame_choice,
        },
        "sampling": asdict(session.sampling),
        "turns": [turn_to_json(turn) for turn in session.history.turns],
        "objects": [object_to_json(session.book[name]) for name in session.book.object_ids],
        "objects_met": session.book.snapshot()[1],
    }


def _object_from_json(row: dict[str, Any], folder: Path, device: torch.device) -> KnownObject:
    known = object_from_json(row, device=device)
    return replace(known, masklet=Masklet.from_json(_read(folder / MASKLETS / f"{known.object_id}.json", None)))


def _read(path: Path, schema: str | None) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(f"{path} is not there; give a folder that chat.save or --out wrote.") from error
    except (OSError, ValueError) as error:
        raise SessionError(f"{path} cannot be read ({error}); restore from an undamaged copy.") from error
    if not isinstance(document, dict) or (schema is not None and document.get("schema") != schema):
        raise SessionError(f"{path} is not of the form {schema}; give a folder that chat.save or --out wrote.")
    return document


def _write_frames(file: BinaryIO, clip: Clip) -> None:
    np.savez_compressed(
        file,
        frames=clip.frames(range(clip.num_frames)),
        times=clip.times,
        average_fps=clip.average_fps,
        last_frame_seconds=clip.last_frame_seconds,
    )


def _open_clip(folder: Path, video: dict[str, Any], state: dict[str, Any]) -> Clip:
    """The clip from its stored frames, or from its file, where it was named from or where it lay."""
    if (folder / FRAMES).is_file():
        with (folder / FRAMES).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            clip = Clip.from_frames(stored["frames"], times=stored["times"], source=video["source"])
            fps, last = float(stored["average_fps"]), float(stored["last_frame_seconds"])
        # The hash is the source's own, which may have been a file that these frames were decoded from.
        frames = ArrayFrames(clip.frames(range(clip.num_frames)), lambda: str(video["sha256"]))
        return replace(clip, average_fps=fps, last_frame_seconds=last, frame_source=frames)
    clip = open_video(video["source"] if Path(video["source"]).exists() else state["path"])
    if clip.sha256 != video["sha256"]:
        raise SessionError(
            f"{video['source']} is not the clip of the session in {folder} (its content has changed); "
            "bring the original back."
        )
    return clip
