"""The pipeline from end to end: probe, select, track, ask, check, repair, second opinions, balance, split, publish.

    with Annotation(settings, Path("out")) as annotation:
        report = annotation.run()

Run again after a kill, an interruption or a change of settings, it does what is missing and nothing else.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sama_video import __version__
from sama_video.annotate import probing, selecting, tracking, wording
from sama_video.annotate.case import Subject
from sama_video.annotate.converting import to_records
from sama_video.annotate.dialogue_stages import Dialogues
from sama_video.annotate.inputs.catalogue import Catalogue, read_catalogue
from sama_video.annotate.ledger import Ledger, alone_in
from sama_video.annotate.models import open_model
from sama_video.annotate.publish import balancing, publishing
from sama_video.annotate.publish.balancing import Part, Weighed, split_videos, within_shares, within_sources
from sama_video.annotate.publish.card import Making
from sama_video.annotate.publish.official import Sample
from sama_video.annotate.publish.publishing import is_whole, publish
from sama_video.annotate.reporting import RunReport, write_left_out, write_report
from sama_video.annotate.review.reviewing import ReviewReport, read_all_decisions
from sama_video.annotate.review.writing import sample_of, write_review
from sama_video.annotate.run_state import Report, RunState
from sama_video.annotate.selecting import select_all
from sama_video.annotate.settings import AnnotateSettings, ModelSettings, settings_yaml
from sama_video.annotate.stages import Json, Kept, Result, Stage, digest, plain
from sama_video.annotate.works import HereMapper, Mapper, ProbeWork, SafetyWork, TrackWork, find_hook, subject_of
from sama_video.remote.language_model import Estimate, LanguageModel
from sama_video.remote.messages import Request
from sama_video.remote.reply_store import ReplyStore

LEDGER: Final = "ledger.sqlite"
REPLIES: Final = "replies.sqlite"
SETTINGS: Final = "annotate.yaml"


@dataclass(frozen=True)
class Options:
    """What of a run is not part of its settings.

    Attributes:
        limit: Only so many subjects, the first by name.
        replay: Take recorded replies alone; nothing is sent.
        review: Write the pages for reviewers.
    """

    limit: int | None = None
    replay: bool = False
    review: bool = False


class Annotation:
    """One run in a folder, which no other run may use meanwhile; use it as a context manager.

    Args:
        settings: What becomes of the inputs.
        out: The folder of the data set, the ledger and the replies.
        mapper: Who does the work of the stages; this process by default.
        report: Told of progress.
        options: What else.

    Raises:
        ConfigError: Another run is at work there.
    """

    def __init__(
        self,
        settings: AnnotateSettings,
        out: Path,
        *,
        mapper: Mapper | None = None,
        report: Report = lambda stage, done, total: None,
        options: Options = Options(),
    ) -> None:
        self.settings = settings
        self.out = out
        self.mapper = mapper or HereMapper()
        self.report = report
        self.options = options
        self._stack = ExitStack()

    def __enter__(self) -> "Annotation":
        if self.settings.select.safety is not None:
            find_hook(self.settings.select.safety)  # a name that cannot be found is told before any work
        with ExitStack() as stack:
            stack.enter_context(alone_in(self.out))
            self.ledger = stack.enter_context(Ledger(self.out / LEDGER))
            self.store = ReplyStore(self.out / REPLIES)
            stack.callback(self.store.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self) -> RunReport:
        """Everything, up to the data set and the report.

        Raises:
            AccessError, BudgetError: Asking cannot go on; the same command goes on from there.
        """
        (self.out / SETTINGS).write_text(settings_yaml(self.settings), encoding="utf-8")
        state = self._masklets()
        dialogues = self._dialogues(state)
        dialogues.run()
        pages = self._write_review(state, dialogues) if self.options.review else None
        files, decisions = read_all_decisions(self.out, self.settings.decisions)
        reviewed = dialogues.review(decisions, files)
        manifest = self._publish(state, dialogues, reviewed)
        report = RunReport.of(state, dialogues, self.store.spent(), manifest, reviewed, self.options.limit, pages)
        write_report(self.out, report)
        return report

    def dry_run(self) -> tuple[RunState, Estimate, Request | None]:
        """What has to be known to ask is worked out and kept; nothing is sent. Gives what asking would take."""
        state = self._masklets()
        estimate, first = self._dialogues(state).estimate()
        return state, estimate, first

    def _masklets(self) -> RunState:
        """Subjects up to the stage where a model can be asked about them."""
        catalogue = self._catalogue()
        state = RunState(self.ledger, catalogue, self.report)
        whole = self.settings
        state.run(
            Stage("probe", probing.VERSION, plain(whole.probe)),
            lambda todo: self.mapper.map(ProbeWork(whole.probe), state.jobs(todo)),
        )
        self._select(state)
        if whole.select.safety is not None:
            work = SafetyWork(whole.select.safety)
            stage = Stage("safety", 1, whole.select.safety)
            state.run(stage, lambda todo: self.mapper.map(work, state.jobs(todo)))
        stage = Stage("track", tracking.VERSION, plain(whole.track) if self._has_prompts(state) else None)
        state.run(stage, lambda todo: self._tracked(state, todo))
        return state

    def _catalogue(self) -> Catalogue:
        inputs = [one.open(self.out) for one in self.settings.inputs]
        found = read_catalogue(inputs, self.ledger)
        if not found.rows and found.left_out:
            write_left_out(self.out, found)
        found.check_usable()
        return found if self.options.limit is None else replace(found, rows=found.rows[: self.options.limit])

    def _select(self, state: RunState) -> None:
        """One decision over all subjects, made anew in each run; what is kept of it is what it says of each."""
        chosen = select_all(dict(state.payloads("probe")), self.settings.select)
        for name, result in chosen.items():
            # The decision is part of the key: other clips may have come or gone since the last run.
            state.alive[name] = digest([state.alive[name].hex(), _decision(result)])
        stage = Stage("select", selecting.VERSION, plain(self.settings.select))
        state.run(stage, lambda todo: [(name, chosen[name]) for name in todo])

    def _has_prompts(self, state: RunState) -> bool:
        return any(_waiting(payload) for _, payload in state.payloads("probe"))

    def _tracked(self, state: RunState, todo: list[str]) -> Iterator[tuple[str, Result]]:
        """Tracks where they are missing; the other subjects are not even loaded."""
        waiting = []
        for name in todo:
            if _waiting(state.payload("probe", name)):
                waiting.append(name)
            else:
                count = len(state.payload("select", name)["things"])
                yield name, Kept({"things": [f"obj{number}" for number in range(1, count + 1)], "lost": {}})
        if waiting:
            yield from self.mapper.map(TrackWork(self.settings.track, self.settings.select), state.jobs(waiting))

    def _dialogues(self, state: RunState) -> Dialogues:
        whole = self.settings

        def find(name: str) -> Subject:
            row = state.rows[name]
            select, track = state.payload("select", name), state.payload("track", name)
            return subject_of(state.catalogue.inputs[row.input_idx], row, select, track)

        def opened(settings: ModelSettings) -> LanguageModel:
            return open_model(settings, self.store, find, whole.seed, replay=self.options.replay)

        critic = None if whole.critic is None else opened(whole.critic)
        return Dialogues(whole, state, self.mapper, opened(whole.ask), critic)

    def _write_review(self, state: RunState, dialogues: Dialogues) -> Path:
        """Pages of what would be published, as it is before people decide."""
        last, settings = dialogues.last_draft, self.settings
        written = write_review(
            self.out,
            settings.publish.title,
            list(state.alive),
            lambda name: sample_of(state, name, last),
            settings.review,
            settings.seed,
            lambda done, total: self.report("review pages", done, total),
        )
        return written.index

    def _publish(self, state: RunState, dialogues: Dialogues, reviewed: ReviewReport) -> Mapping[str, Json]:
        whole = self.settings
        looks = {name: (payload["source"], payload["content"]) for name, payload in state.payloads("probe")}
        full = within_sources({name: source for name, (source, _) in looks.items()}, whole.balance, whole.seed)
        state.drop("balance", full)
        parts = split_videos({looks[name][1] for name in state.alive}, whole.split)
        part_of = {name: parts[looks[name][1]] for name in sorted(state.alive)}
        samples = _Samples(self, state, dialogues, part_of, reviewed)
        samples.leave_out(within_shares(list(samples.weighed()), whole.balance, whole.seed))
        key = digest(
            ["publish", publishing.VERSION, balancing.VERSION, plain(whole.publish), plain(whole.balance), __version__]
            + [[name, state.alive[name].hex(), part] for name, part in part_of.items()]
            + sorted(samples.left_out)
        )
        known = self.ledger.result(key)
        if isinstance(known, Kept) and is_whole(self.out, known.payload):
            return dict(known.payload)
        self.report("publish", 0, len(part_of))
        manifest = publish(self.out, samples.of, whole.publish, self._making(state))
        self.ledger.append("publish", "", key, Kept(manifest))
        self.report("publish", len(part_of), len(part_of))
        return manifest

    def _making(self, state: RunState) -> Making:
        prompts = [wording.ASK_VERSION, *([wording.REPAIR_VERSION] if self.settings.repair else [])]
        prompts += [wording.CRITIC_VERSION] if self.settings.critic is not None else []
        return Making(
            self.settings.publish.title,
            __version__,
            self.settings.ask.model,
            prompts,
            [tally.to_json() for tally in state.tallies],
            self.settings.fingerprint,
            self.settings.publish.format,
        )


class _Samples:
    """Subjects that made it, with their records, loaded one at a time as often as they are asked for."""

    def __init__(
        self,
        annotation: Annotation,
        state: RunState,
        dialogues: Dialogues,
        part_of: Mapping[str, Part],
        reviewed: ReviewReport,
    ) -> None:
        self.annotation = annotation
        self.state = state
        self.dialogues = dialogues
        self.part_of = part_of
        self.rulings = reviewed.rulings
        self.left_out: frozenset[str] = frozenset()

    def of(self, part: Part) -> Iterator[Sample]:
        """The samples of a part, in the order of their names."""
        for name, own in self.part_of.items():
            if own == part:
                sample = self.sample(name)
                records = tuple(record for record in sample.records if record.record_id not in self.left_out)
                if records:
                    yield replace(sample, records=records)

    def weighed(self) -> Iterator[Weighed]:
        """All records, as balancing sees them."""
        if self.annotation.settings.balance.largest_share >= 1:
            return
        for name in self.part_of:
            for record in self.sample(name).records:
                yield Weighed(record.record_id, record.task, len(record.turns))

    def leave_out(self, names: frozenset[str]) -> None:
        """Records that balancing leaves out, counted in the tally of that stage."""
        self.left_out = names
        if names:
            self.state.tallies[-1].dropped["records_over_share"] = len(names)

    def sample(self, name: str) -> Sample:
        """One subject with its records."""
        state = self.state
        row = state.rows[name]
        track = state.payload("track", name)
        subject = subject_of(state.catalogue.inputs[row.input_idx], row, state.payload("select", name), track)
        draft = self.dialogues.draft_of(name)
        records = to_records(subject, draft, self._provenance(name), self.annotation.settings.seed)
        seconds = state.payload("probe", name)["seconds"]
        with_length = replace(subject, provenance={**subject.provenance, "clip_seconds": seconds})
        return Sample(with_length, records, draft.descriptions)

    def _provenance(self, name: str) -> dict[str, str | int | float]:
        """Where a record's words come from; masks by our tracker are named as well."""
        state, settings = self.state, self.annotation.settings
        reply = state.payload("ask", name)
        row: dict[str, str | int | float] = {
            "annotator": f"sama data annotate {__version__}",
            "model": reply["model"],
            "prompt": wording.ASK_VERSION,
            "seed": settings.seed,
            "asked": reply["asked"],
            "input_hash": state.rows[name].fingerprint,
            "content_hash": state.payload("probe", name)["content"],
        }
        if state.payload("repair", name) is not None:
            row["repaired_by"] = wording.REPAIR_VERSION
        if name in self.rulings:
            row["review"] = self.rulings[name].line
        track = state.payload("track", name) or {}
        if track.get("masklets"):
            row["tracker"] = track["tracker"]
        return row


def _decision(result: Result) -> Json:
    return ["kept", result.payload] if isinstance(result, Kept) else ["dropped", result.reason, result.detail]


def _waiting(probed: Json) -> bool:
    """Whether an object has no masklet yet."""
    return any(stats is None for stats in probed["objects"].values())
