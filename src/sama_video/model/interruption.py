"""Long work of a model left in the middle: a question asked before every layer of every part."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def asking_between_layers(model: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Have a function called before each layer of the vision tower, the decoder, the aggregator and the segmenter.

    What it raises leaves the model at once. A session undoes the turn that this ends, and goes on from before it.

    Args:
        check: Returns, or raises to end what the calling thread is computing.
    """

    def ask(*_: object) -> None:
        check()

    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    inner = {id(part) for layers in lists for layer in layers for part in layer.modules() if part is not layer}
    layers = [layer for found in lists if id(found) not in inner for layer in found]
    hooks = [layer.register_forward_pre_hook(ask) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
