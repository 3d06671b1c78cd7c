"""The work of each stage on one subject, as values that can be sent to another process; none knows the ledger."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from sama_video.annotate.asking import (
    AskSettings,
    TaskMix,
    TaskPlan,
    critic_request,
    plan_tasks,
    repair_plan,
    repair_request,
    request_for,
)
from sama_video.annotate.case import Subject
from sama_video.annotate.checks.checking import CheckRules, check_draft
from sama_video.annotate.drafts import Draft, DraftError, Problem, read_draft
from sama_video.annotate.drawing import Drawing, DrawOptions, draw_subject
from sama_video.annotate.inputs.catalogue import Input, Listed
from sama_video.annotate.probing import ProbeSettings, probe
from sama_video.annotate.selecting import SelectSettings
from sama_video.annotate.stages import Dropped, Json, Kept, Result
from sama_video.annotate.tracking import Follower, ModelFollower, TrackSettings, track_subject, tracked
from sama_video.data.findings import FaultError
from sama_video.errors import ConfigError, DataError, DialogueError, RegionError, VideoError
from sama_video.remote.messages import Request

T = TypeVar("T")

NOTHING = Draft({}, ())


@dataclass(frozen=True)
class Job:
    """One subject and what earlier stages found out about it.

    Attributes:
        select, track: Payloads of these stages; None before them.
        reply: What a model said last.
        draft: What of it was kept, and the problems of the rest.
    """

    source: Input
    row: Listed
    select: Json = None
    track: Json = None
    reply: Json = None
    draft: Json = None

    @property
    def subject_id(self) -> str:
        """Of the subject."""
        return self.row.subject_id

    def subject(self) -> Subject:
        """The subject as far as it has come.

        Raises:
            FaultError: It cannot be read any more.
        """
        return subject_of(self.source, self.row, self.select, self.track)


@runtime_checkable
class Work(Protocol):
    """What is done to one subject; cheap to send to another process."""

    def __call__(self, job: Job) -> Any:
        """A result, or a request to a model."""
        ...


@runtime_checkable
class Mapper(Protocol):
    """Who does the work: this process, or a cluster."""

    def map(self, work: Work, jobs: Iterable[Job]) -> Iterator[tuple[str, Any]]:
        """What the work gives for each subject, in any order; jobs are taken as they are needed."""
        ...


class HereMapper:
    """All work in this process, one subject after the other."""

    def map(self, work: Work, jobs: Iterable[Job]) -> Iterator[tuple[str, Any]]:
        """Results in order."""
        return ((job.subject_id, work(job)) for job in jobs)


def subject_of(source: Input, row: Listed, select: Json = None, track: Json = None) -> Subject:
    """A subject, less the things that were left out on its way, with the masklets it got."""
    subject = replace(source.load(row.locator), subject_id=row.subject_id)
    if select is not None:
        kept = tuple(thing for thing in subject.things if thing.object_id in select["things"])
        subject = subject.with_things(kept)
    return subject if track is None else tracked(subject, track)


@dataclass(frozen=True)
class ProbeWork:
    """A quick look at the clip."""

    settings: ProbeSettings

    def __call__(self, job: Job) -> Result:
        return told_as_dropped(lambda: probe(job.subject(), self.settings))


SafetyHook: TypeAlias = Callable[[Subject, Any], str | None]


@dataclass(frozen=True)
class SafetyWork:
    """The user's own filter."""

    hook: str

    def __call__(self, job: Job) -> Result:
        return told_as_dropped(lambda: self._judge(job.subject()))

    def _judge(self, subject: Subject) -> Result:
        clip = subject.clip.open()
        try:
            reason = find_hook(self.hook)(subject, clip)
        finally:
            clip.close()
        return Kept() if reason is None else Dropped("unsafe", " ".join(str(reason).split()))


@dataclass(frozen=True)
class TrackWork:
    """Masklets for things that have none."""

    settings: TrackSettings
    select: SelectSettings
    follower: Follower | None = None

    def __call__(self, job: Job) -> Result:
        follower = self.follower or ModelFollower(self.settings.model, self.settings.device)
        return told_as_dropped(lambda: track_subject(job.subject(), follower, self.settings, self.select))


@dataclass(frozen=True)
class Asking:
    """How a model is asked about a subject.

    Attributes:
        kind: The first request, the repair of what the job's reply was, or a critic's look at its draft.
    """

    kind: str
    draw: DrawOptions
    mix: TaskMix
    seed: int
    settings: AskSettings

    def __call__(self, job: Job) -> Request | Dropped:
        return told_as_dropped(lambda: self._request(job.subject(), job))

    def plan(self, subject: Subject) -> TaskPlan:
        """What is wanted of a subject."""
        return plan_tasks(subject, self.mix, self.seed)

    def _request(self, subject: Subject, job: Job) -> Request:
        drawing = self._drawing(subject)
        if self.kind == "critic":
            return critic_request(subject, drawing, Draft.from_json(job.draft["draft"]), self.settings)
        plan = self.plan(subject)
        first = request_for(subject, drawing, plan, self.settings)
        if self.kind == "ask":
            return first
        kept = Draft.from_json(job.draft["draft"])
        problems = [Problem.from_json(row) for row in job.draft["problems"]]
        return repair_request(first, job.reply["text"], problems, repair_plan(plan, kept))

    def _drawing(self, subject: Subject) -> Drawing:
        clip = subject.clip.open()
        try:
            return draw_subject(subject, clip, self.draw)
        finally:
            clip.close()


@dataclass(frozen=True)
class CheckWork:
    """A reply held against the rules, together with what was kept of the one before it.

    Attributes:
        may_mend: Whether a faulty reply will be followed by another; if not, a subject of which nothing is left is
            dropped.
    """

    rules: CheckRules
    mix: TaskMix
    seed: int
    may_mend: bool

    def __call__(self, job: Job) -> Result:
        return told_as_dropped(lambda: self._check(job.subject(), job))

    def _check(self, subject: Subject, job: Job) -> Result:
        plan = plan_tasks(subject, self.mix, self.seed)
        before = NOTHING if job.draft is None else Draft.from_json(job.draft["draft"])
        earlier: list[Json] = [] if job.draft is None else job.draft["problems"]
        unread: tuple[Problem, ...] = ()
        try:
            said = read_draft(job.reply["text"], job.reply["finish_reason"], job.reply["refusal"])
        except DraftError as error:
            said, unread = NOTHING, (Problem("draft", error.reason, str(error)),)
        checked = check_draft(before.joined(said), subject, self.rules, plan=plan, times=_times(subject))
        missing = repair_plan(plan, checked.kept)
        problems = [problem.to_json() for problem in (*unread, *checked.problems)]
        is_empty = not checked.kept.turns and not checked.kept.descriptions
        if is_empty and not self.may_mend:
            return Dropped("nothing_kept", ", ".join(sorted({row["reason"] for row in problems})))
        return Kept(
            {
                "draft": checked.kept.to_json(),
                "problems": problems,
                "before": earlier,
                "mend": bool(missing.describe or missing.turns),
            }
        )


def find_hook(name: str) -> SafetyHook:
    """A function by `module:function`.

    Raises:
        ConfigError: There is none of that name.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ConfigError(f"select.safety is {name!r}; write module:function.")
    try:
        hook = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"select.safety {name!r} cannot be imported ({error}); install the module.") from error
    if not callable(hook):
        raise ConfigError(f"select.safety {name!r} is no function; it takes a subject and its clip.")
    found: SafetyHook = hook
    return found


def _times(subject: Subject) -> tuple[float, ...]:
    clip = subject.clip.open()
    try:
        return tuple(float(seconds) for seconds in clip.times)
    finally:
        clip.close()


def told_as_dropped(work: Callable[[], T]) -> T | Dropped:
    """What the work gives; a subject that cannot be used is dropped with the reason, and the others go on."""
    try:
        return work()
    except FaultError as error:
        return Dropped(error.reason, str(error))
    except (DataError, VideoError, RegionError, DialogueError) as error:
        return Dropped("unusable", str(error))
