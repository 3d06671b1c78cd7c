"""Records as a torch data set: the example at each position of the stream, whichever process asks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import Dataset, Sampler

from sama_video.data.mixture import Choice, Drawn, Mixture, Refusal
from sama_video.data.mixture_shares import MixturePart
from sama_video.data.records import DialogueRecord, NoClip
from sama_video.errors import ConfigError
from sama_video.train.tuning.collate import ReadExample
from sama_video.train.tuning.examples import Example, ExampleMaker
from sama_video.train.tuning.settings import DataSettings


@runtime_checkable
class RecordStream(Protocol):
    """Records by position, without end: a position gives the same record in any process. `Mixture` is one."""

    def __len__(self) -> int:
        """Records of one pass."""
        ...

    def draw_with(self, position: int, make: Callable[[DialogueRecord, Choice], Example]) -> Drawn[Example]:
        """What `make` gives for the record at a position, or for the next one that can be used."""
        ...

    def count(self, refused: Sequence[Refusal]) -> None:
        """Add records that could not be used to the counts."""
        ...

    def state(self, position: int | None = None) -> dict[str, Any]:
        """What a resumed run must find again, and the counts."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; refuses the state of another stream."""
        ...


class ExampleData(Dataset[ReadExample]):
    """The examples of a run, by position.

    Args:
        num_records: Of the whole run.
    """

    def __init__(self, stream: RecordStream, maker: ExampleMaker, num_records: int) -> None:
        self.stream = stream
        self.maker = maker
        self.num_records = num_records

    def __len__(self) -> int:
        return self.num_records

    def __getitem__(self, position: int) -> ReadExample:
        drawn = self.stream.draw_with(position, self._make)
        return ReadExample(drawn.item, drawn.refused)

    def _make(self, record: DialogueRecord, choice: Choice) -> Example:
        if isinstance(record.clip, NoClip):
            return self.maker.make(record, None, choice.seed)
        clip = record.clip.open()
        try:
            return self.maker.make(record, clip, choice.seed)
        finally:
            clip.close()


class InOrder(Sampler[int]):
    """Positions from 0; the stream has shuffled them."""

    def __init__(self, count: int) -> None:
        self.num_positions = count

    def __len__(self) -> int:
        return self.num_positions

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.num_positions))


class SourceMixture(Mixture):
    """A mixture as long as one pass."""

    def __len__(self) -> int:
        return self.pass_length


def open_stream(settings: DataSettings, seed: int, *, root: Path | None = None) -> SourceMixture:
    """The mixture that a recipe's data settings describe.

    Args:
        root: What relative paths are relative to; the working directory if not given.

    Raises:
        ConfigError: The recipe names no source, or two by one name.
        DataError: A source cannot be opened.
    """
    if not settings.sources:
        raise ConfigError("data.sources is empty; name at least one record file or data set to train on.")
    parts: list[MixturePart] = []
    for source in settings.sources:
        path = (root or Path()) / source.path
        name = source.name or path.name
        if any(part.name == name for part in parts):
            raise ConfigError(f"data.sources names {name!r} twice; give one of them another name.")
        store = source.opened(root or Path(), seed, strict=settings.strict)
        parts.append(MixturePart(name, store, source.weight))
    balance: Any = settings.balance
    weighting: Any = settings.weighting
    return SourceMixture(parts, seed=seed, balance=balance, weighting=weighting, strict=settings.strict)
