from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from tiny_model import filled, moving_squares, tiny_model

from sama_video.chat.loading import LoadedModel
from sama_video.chat.masks import GroundedMasks, MaskMaker
from sama_video.chat.objects import Sighting
from sama_video.chat.session import ChatSession
from sama_video.regions.rle import encode
from sama_video.regions.shapes import Mask
from sama_video.video.clip import Clip


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model() -> LoadedModel:
    return tiny_model()


@pytest.fixture(scope="session")
def clip() -> Clip:
    return moving_squares(12)


@pytest.fixture
def chat(model: LoadedModel, clip: Clip) -> ChatSession:
    return model.chat(clip, max_new_tokens=12)


class Script:
    """Answers written down beforehand: the rule that lets only their tokens through, one answer a turn."""

    def __init__(self, answers: Sequence[str]) -> None:
        tokenizer = tiny_model().processor.tokenizer
        self.answers = [[*tokenizer.encode(raw), tokenizer.eos_token_id] for raw in answers]

    def __call__(self, *_: object) -> Callable[[Sequence[int], torch.Tensor], torch.Tensor]:
        answer = self.answers.pop(0)

        def rule(ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
            only = torch.full_like(logits, -torch.inf)
            only[answer[min(len(ids), len(answer) - 1)]] = 0.0
            return only

        return rule


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it with the raw answers of the next turns."""

    def prepare(*answers: str) -> None:
        monkeypatch.setattr("sama_video.chat.conversation.token_rule", Script(answers))

    return prepare


@pytest.fixture
def see(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it with what the next `[SEG]` tokens show: a box on every prompted frame, or None for nothing."""

    def prepare(*boxes: tuple[int, int, int, int] | None) -> None:
        waiting = list(boxes)

        def ground(maker: MaskMaker, embeddings: torch.Tensor, frames: Sequence[int]) -> list[GroundedMasks]:
            shown = [waiting.pop(0) for _ in embeddings]
            return [GroundedMasks(tuple(_sighting(maker, box, frame) for frame in frames)) for box in shown]

        monkeypatch.setattr(MaskMaker, "ground", ground)

    return prepare


def _sighting(maker: MaskMaker, box: tuple[int, int, int, int] | None, frame_idx: int) -> Sighting:
    if box is None:
        return Sighting(frame_idx, None)
    mask = encode(filled(box, maker.clip.height, maker.clip.width))
    return Sighting(frame_idx, mask, Mask(frame=frame_idx, mask=mask))
