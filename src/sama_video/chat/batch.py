"""One question about each of several clips, decoded together."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sama_video.chat.answer import Answer
from sama_video.chat.rules import Ground
from sama_video.chat.session import ChatSession
from sama_video.dialogue.turns import Timing
from sama_video.errors import DialogueError
from sama_video.model.decoding import DecodedRow

if TYPE_CHECKING:
    from sama_video.chat.loading import LoadedModel


def answer_batch(
    model: "LoadedModel", questions: Sequence[tuple[Any, ...]], *, ground: Ground = "auto", **options: Any
) -> list[Answer]:
    """Answers in the order of the questions; the same as one by one, but decoded in one batch.

    Args:
        questions: `(video, question)` or `(video, question, regions)`.
        options: As for `LoadedModel.chat`.
    """
    for row in questions:
        if not isinstance(row, tuple) or not 2 <= len(row) <= 3:
            raise DialogueError("each item of a batch is (video, question) or (video, question, regions).")
    if not questions:
        return []
    with ExitStack() as open_sessions:
        sessions = [open_sessions.enter_context(model.chat(row[0], **options)) for row in questions]
        # All objects at once and now: the sessions close with the batch.
        return answer_sessions(sessions, [row[1:] for row in questions], ground=ground, track_regions=True)


@torch.inference_mode()
def answer_sessions(
    sessions: Sequence[ChatSession],
    asked: Sequence[tuple[Any, ...]],
    *,
    ground: Ground = "auto",
    track_regions: bool = False,
) -> list[Answer]:
    """One more turn of each of several sessions, decoded in one batch.

    The sessions are of one model, and none has read anything yet; turns that it adopted are read now.

    Args:
        asked: For each session `(question,)` or `(question, regions)`.
        track_regions: Follow what the questions point at as well, not only what the answers speak of.
    """
    began = [session.costs() for session in sessions]
    ready = [session.prepare(*question) for session, question in zip(sessions, asked, strict=True)]
    rows = [session.history.unread(question.asked) for session, question in zip(sessions, ready, strict=True)]
    decoder = sessions[0].decoder(ground)
    embeds, padding = _pad_left(sessions[0], rows)
    grown: list[DecodedRow] = []
    for rows_so_far in decoder.decode(decoder.prefill(embeds, padding=padding)):
        grown = rows_so_far
    answers = []
    for session, question, row, costs, (ids, _) in zip(sessions, ready, grown, began, rows, strict=True):
        bound = session.bind(question, row, ground, num_answer_read=0)
        timing = Timing(prefill_tokens=len(ids), generated_tokens=len(row.ids))
        session.track_all(None if track_regions else bound.object_ids)
        answers.append(session.conclude(question, bound, timing, costs))
    return answers


def _pad_left(session: ChatSession, rows: Sequence[tuple[list[int], Tensor]]) -> tuple[Tensor, list[int]]:
    model = session.model.model
    longest = max(len(ids) for ids, _ in rows)
    embedded = []
    for ids, placeholders in rows:
        tokens = torch.tensor([ids], device=placeholders.device)
        embeds = model.embed_tokens(tokens, placeholders)
        embedded.append(torch.nn.functional.pad(embeds, (0, 0, longest - len(ids), 0)))
    return torch.cat(embedded), [longest - len(ids) for ids, _ in rows]
