"""Where a run stands: which subjects are still on their way, under which keys, and what each stage made of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sama_video.annotate.inputs.catalogue import Catalogue, Listed
from sama_video.annotate.ledger import KEPT, Ledger, Outcome
from sama_video.annotate.stages import Dropped, Json, Kept, Result, Stage
from sama_video.annotate.works import Job

Report = Callable[[str, int, int], None]
"""Told the stage, how many subjects have their result, and how many there are."""

Perform = Callable[[list[str]], Iterable[tuple[str, Result]]]
"""Gives results for subjects, in any order; those it says nothing of wait for another run."""


@dataclass
class Tally:
    """What a stage made of the subjects that came to it.

    Attributes:
        entered, kept: Subjects.
        new: Results that were made now; the others were there.
        dropped: By reason.
        waiting: Subjects without a result, by reason; the same command tries them again.
    """

    stage: str
    entered: int = 0
    kept: int = 0
    new: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Json]:
        """As the report has it."""
        return {
            "stage": self.stage,
            "in": self.entered,
            "out": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "waiting": dict(sorted(self.waiting.items())),
        }


@dataclass(frozen=True)
class Lost:
    """A subject that was dropped.

    Attributes:
        detail: One line for people, or nothing where the reason says it all.
    """

    stage: str
    subject: str
    reason: str
    detail: str

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.subject}: {self.detail.rstrip('.') or self.reason} ({self.stage}: {self.reason})"


class RunState:
    """The way of all subjects through the stages.

    Args:
        ledger: Where results are looked up and kept.
        catalogue: The subjects.
        report: Told of progress.
    """

    def __init__(self, ledger: Ledger, catalogue: Catalogue, report: Report) -> None:
        self.ledger = ledger
        self.catalogue = catalogue
        self.report = report
        self.rows: dict[str, Listed] = {row.subject_id: row for row in catalogue.rows}
        self.alive: dict[str, bytes] = {row.subject_id: bytes.fromhex(row.fingerprint) for row in catalogue.rows}
        self.tallies: list[Tally] = []
        self._keys: dict[str, dict[str, bytes]] = {}
        self._lost: list[tuple[str, str, str, bytes | None]] = []

    def run(self, stage: Stage, perform: Perform, waiting: Counter[str] | None = None) -> None:
        """Bring every subject through a stage; those that have a result already are not touched.

        Args:
            stage: What is done.
            perform: Who does it.
            waiting: Counts why subjects got no result, filled by `perform`.
        """
        known = self.ledger.outcomes(stage.name)
        keys = {name: stage.key(name, before) for name, before in self.alive.items()}
        todo = [name for name, key in keys.items() if key not in known]
        tally = Tally(stage.name, len(keys), waiting=waiting if waiting is not None else Counter())
        self.tallies.append(tally)
        self.report(stage.name, len(keys) - len(todo), len(keys))
        for name, result in perform(todo) if todo else ():
            self.ledger.append(stage.name, name, keys[name], result)
            known[keys[name]] = KEPT if isinstance(result, Kept) else Outcome(result.reason)
            tally.new += 1
            self.report(stage.name, len(keys) - len(todo) + tally.new, len(keys))
        self._advance(stage.name, keys, known, tally)

    def payload(self, stage: str, name: str) -> Json:
        """What a stage found out about a subject; None where there is no such stage on its way."""
        key = self._keys.get(stage, {}).get(name)
        return None if key is None else self.ledger.payload(key)

    def payloads(self, stage: str) -> Iterator[tuple[str, Json]]:
        """What a stage found out about each subject that is still on its way, one at a time."""
        return ((name, self.payload(stage, name)) for name in self.alive)

    def lost(self) -> Iterator[Lost]:
        """Each subject that was dropped so far, in the order of the stages."""
        for stage, name, reason, key in self._lost:
            result = None if key is None else self.ledger.result(key)
            yield Lost(stage, name, reason, result.detail if isinstance(result, Dropped) else "")

    def drop(self, stage: str, reasons: Mapping[str, str]) -> None:
        """Leave subjects out for reasons that follow from all of them together, and are not kept in the ledger."""
        tally = Tally(stage, len(self.alive), dropped=Counter(reasons.values()))
        self.alive = {name: key for name, key in self.alive.items() if name not in reasons}
        tally.kept = len(self.alive)
        self.tallies.append(tally)
        self._lost.extend((stage, name, reason, None) for name, reason in reasons.items())

    def jobs(self, names: Iterable[str], *, reply: str | None = None, draft: str | None = None) -> Iterator[Job]:
        """What workers need to know, made as it is taken.

        Args:
            names: Subjects.
            reply, draft: Stages whose payloads go along.
        """
        for name in names:
            row = self.rows[name]
            yield Job(
                self.catalogue.inputs[row.input_idx],
                row,
                self.payload("select", name),
                self.payload("track", name),
                None if reply is None else self.payload(reply, name),
                None if draft is None else self.payload(draft, name),
            )

    def _advance(self, stage: str, keys: Mapping[str, bytes], known: Mapping[bytes, Outcome], tally: Tally) -> None:
        """Those that were kept go on under their new keys."""
        self._keys[stage] = {}
        alive = {}
        for name, key in keys.items():
            outcome = known.get(key)
            if outcome is None:
                continue
            if outcome.reason is not None:
                tally.dropped[outcome.reason] += 1
                self._lost.append((stage, name, outcome.reason, key))
                continue
            alive[name] = self._keys[stage][name] = key
        tally.kept = len(alive)
        lost = tally.entered - tally.kept - tally.dropped.total() - tally.waiting.total()
        if lost:
            tally.waiting["not_done"] += lost
        self.alive = alive
