import pytest
import torch
from tiny_model import moving_squares, tiny_model

import sama_video as sama
from sama_video.model.interruption import asking_between_layers


class StopError(Exception):
    pass


class Bell:
    """Rings at one of its calls."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise StopError


def layers_of_a_turn() -> int:
    bell = Bell(-1)
    model = tiny_model()
    with asking_between_layers(model.model, bell):
        model.chat(moving_squares(3), max_new_tokens=4).ask("What is here?", ground=True)
    return bell.calls


def test_a_turn_is_left_before_the_next_layer_and_undone() -> None:
    whole = layers_of_a_turn()
    model = tiny_model()
    alone = model.chat(moving_squares(3), max_new_tokens=4).ask("What is here?", ground=True)
    assert whole > 20
    for at in (1, whole // 3, whole - 1):
        chat, bell = model.chat(moving_squares(3), max_new_tokens=4), Bell(at)
        with asking_between_layers(model.model, bell), pytest.raises(StopError):
            chat.ask("What is here?", ground=True)
        assert bell.calls == at
        assert (len(chat.dialogue), len(chat.objects)) == (0, 0)
        again = chat.ask("What is here?", ground=True)
        assert (again.raw, again.phrases) == (alone.raw, alone.phrases)
        assert {name: again.masklets[name] for name in again.masklets} == {
            name: alone.masklets[name] for name in alone.masklets
        }


def test_nothing_stays_behind() -> None:
    model = tiny_model()
    with asking_between_layers(model.model, Bell(-1)):
        assert any(module._forward_pre_hooks for module in model.model.modules())
    assert not any(module._forward_pre_hooks for module in model.model.modules())


def test_a_pass_of_the_segmenter_is_left_between_its_layers() -> None:
    model = tiny_model()
    maker = model.mask_maker(moving_squares(3), "consistent", 0)
    bell = Bell(2)
    with asking_between_layers(model.model, bell), pytest.raises(StopError), torch.inference_mode():
        maker.region_mask(sama.Box(frame=0, xyxy=(4, 4, 20, 20)))
    assert bell.calls == 2
