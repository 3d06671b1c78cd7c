"""How well the checks find mistakes: planted ones by kind, and what they have against answers without any.

    proof = prove(clips=200, seed=0)
    proof.to_markdown()

The scripted endpoint answers truly about synthetic clips; one mistake of each kind is planted into each answer it fits
in. A mistake counts as found when its place gets a reason that this kind should get. What is found anywhere else, and
in answers without a mistake, are false alarms.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from sama_video.annotate.asking import TaskMix, TaskPlan, plan_tasks, request_for
from sama_video.annotate.case import Subject, Thing
from sama_video.annotate.checks.checking import CheckRules, check_draft
from sama_video.annotate.drafts import DraftError, Problem, read_draft
from sama_video.annotate.drawing import Drawing, choose_frames
from sama_video.annotate.scripted.endpoint import true_reply
from sama_video.annotate.scripted.heard import Heard, hear
from sama_video.annotate.scripted.mistakes import HARMLESS_KINDS, HIDDEN_KINDS, KINDS, plant
from sama_video.annotate.scripted.scene import as_text
from sama_video.annotate.scripted.truth import TrueClip, truth_of
from sama_video.data.building.draws import Draws
from sama_video.data.record_clips import FileClip
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.levels import FPS, seeds_of
from sama_video.data.synthetic.references import name_of
from sama_video.regions.masklet import Masklet

Known: TypeAlias = Literal["names", "labels", "nothing"]
"""What the checks are told of each object: its kind and an expression, its kind alone, or nothing."""

EXPECTED: Final[Mapping[str, tuple[str, ...]]] = {
    "missing tag": ("phrase_without_object",),
    "bare tag": ("bare_tag",),
    "unknown tag": ("unknown_object",),
    "empty phrase": ("empty_phrase",),
    "nested phrase": ("nested_phrase",),
    "open phrase": ("unclosed_phrase", "nested_phrase"),
    "object tagged twice": ("repeated_object",),
    "question without tag": ("no_object_in_question",),
    "model token": ("mark_in_text",),
    "tag in description": ("mark_in_text",),
    "swapped ids": ("swapped_objects", "contradicts_known"),
    "wrong object": ("swapped_objects", "contradicts_known"),
    "invented object": ("swapped_objects", "contradicts_known"),
    "swapped descriptions": ("swapped_objects", "contradicts_known", "not_visible_then"),
    "missing description": ("missing_description",),
    "talk of marks": ("talks_of_marks", "malformed_tag"),
    "refused turn": ("refusal",),
    "markdown": ("markdown",),
    "wrong language": ("wrong_language",),
    "turn twice": ("repeated_turn",),
    "echo": ("echo",),
    "placeholder": ("placeholder", "mark_in_text", "talks_of_marks"),
    "endless answer": ("too_long",),
    "time outside clip": ("time_outside_clip",),
    "not visible then": ("not_visible_then",),
    "wrong count": ("wrong_count",),
    "false denial": ("denies_what_is_there",),
    "no denial": ("no_denial",),
    "refused reply": ("refusal",),
    "cut JSON": ("cut_json",),
    "no JSON": ("no_json",),
    "turn without answer": ("wrong_form",),
}
"""Reasons that a planted mistake should be found for."""

_CONSEQUENCES: Final = ("too_few_turns", "missing_description")
"""Reasons of the whole draft that follow from what is dropped."""

MIX: Final = TaskMix(turns_per_object=2, most_turns=8)


@dataclass(frozen=True)
class KindScore:
    """How one kind of mistake fared.

    Attributes:
        planted: Mistakes of this kind.
        found: Those whose place got a reason that it should get.
        dropped: Those whose place got any reason.
        false: Places without a mistake that got one of these reasons, in answers with this mistake and without any.
    """

    kind: str
    planted: int
    found: int
    dropped: int
    false: int

    @property
    def recall(self) -> float | None:
        """Share of the mistakes that are found; None where none was planted."""
        return self.found / self.planted if self.planted else None

    @property
    def precision(self) -> float | None:
        """Share of what is said to be this that is; None where nothing is."""
        said = self.found + self.false
        return self.found / said if said else None


@dataclass(frozen=True)
class Proof:
    """What was measured.

    Attributes:
        replies: Answers that were checked, clean ones included.
        clean_texts: Turns and descriptions of clean answers.
        false_alarms: Those of them that were dropped.
        false_reasons: Why, by reason.
        labels: Kinds that the checks were told exclude each other.
        kinds: Mistakes that a text shows.
        hidden: Mistakes that only the clip shows: planted, and how many were dropped for whatever reason.
        harmless: Habits that are no mistakes: answers, and how many lost anything.
    """

    known: Known
    clips: int
    seed: int
    level: int
    replies: int
    clean_texts: int
    false_alarms: int
    false_reasons: Mapping[str, int]
    labels: tuple[str, ...]
    kinds: tuple[KindScore, ...]
    hidden: tuple[KindScore, ...]
    harmless: tuple[KindScore, ...]

    def to_markdown(self) -> str:
        """Tables for a page."""
        told = {"names": "a label and an expression", "labels": "a label", "nothing": "nothing"}[self.known]
        lines = [
            f"{self.replies} answers about {self.clips} clips of level {self.level} (seed {self.seed}); of each object "
            f"{told} is known{', and which kinds exclude each other' if self.labels else ''}.",
            "",
            "| planted | times | found | dropped for any reason | recall | precision |",
            "|---|---|---|---|---|---|",
            *map(_row, self.kinds),
            "",
            f"Clean answers: {self.false_alarms} of {self.clean_texts} texts dropped"
            + "".join(f", {count} for {reason}" for reason, count in sorted(self.false_reasons.items()))
            + ".",
            "",
            "| what only the clip shows | times | dropped |",
            "|---|---|---|",
            *(f"| {one.kind} | {one.planted} | {one.dropped} |" for one in (*self.hidden, *self.harmless)),
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Case:
    """One clip as the proof has it."""

    subject: Subject
    plan: TaskPlan
    times: tuple[float, ...]
    heard: Heard
    truth: TrueClip


@dataclass
class _Count:
    """Sums while answers are checked by some rules."""

    rules: CheckRules
    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    clean: Counter[str] = field(default_factory=Counter)
    clean_texts: int = 0
    false_alarms: int = 0


def prove(
    clips: int = 200, seed: int = 0, level: int = 2, known: Known = "names", labels: tuple[str, ...] = ()
) -> Proof:
    """Plant mistakes of every kind into true answers, and count what the checks find.

    Args:
        clips: Of the training split's run `seed`.
        known: What the checks are told of the objects.
        labels: Names of kinds that exclude each other, see `CheckRules`.
    """
    count = _Count(CheckRules(labels=labels))
    for case in cases(clips, seed, level, known):
        true = true_reply(case.heard, case.truth, seed)
        _check_clean(as_text(true), case, count)
        for kind in KINDS | HIDDEN_KINDS:
            draws = Draws("proof", seed, case.subject.subject_id, kind)
            made = plant(kind, true, case.truth, draws, case.heard.duration / case.truth.num_frames)
            if made is not None:
                _check_planted(kind, *made, case, count)

    def scores(kinds: Iterable[str]) -> tuple[KindScore, ...]:
        return tuple(_score(kind, count) for kind in kinds)

    return Proof(
        known,
        clips,
        seed,
        level,
        clips + count.planted.total(),
        count.clean_texts,
        count.false_alarms,
        dict(count.clean),
        tuple(labels),
        scores(KINDS),
        scores(kind for kind in HIDDEN_KINDS if kind not in HARMLESS_KINDS),
        scores(HARMLESS_KINDS),
    )


def cases(clips: int, seed: int, level: int, known: Known) -> Iterator[Case]:
    """Clips with their subjects, plans and truths."""
    world = DiagnosticWorld(level)
    for number in seeds_of("train", seed, clips):
        subject = synthetic_subject(world, number, known)
        plan = plan_tasks(subject, MIX, seed)
        times = tuple(frame / FPS for frame in range(subject.clip.num_frames))
        heard = hear(request_for(subject, _unseen_drawing(subject, times), plan).to_wire("scripted"))
        assert heard is not None, "our own request"
        yield Case(subject, plan, times, heard, truth_of(subject))


def synthetic_subject(world: DiagnosticWorld, seed: int, known: Known) -> Subject:
    """A clip of the diagnostic world with all of its objects; its frames are nowhere, its masklets are."""
    story, masks = world.story(seed), world.masks(seed)
    shown = [idx for idx in range(len(masks)) if masks[idx].any()]
    things = tuple(
        Thing(
            f"obj{number}",
            Masklet.from_masks(f"obj{number}", masks[idx]),
            label=None if known == "nothing" else story.look(idx).shape,
            expressions=(name_of(story, idx),) if known == "names" else (),
        )
        for number, idx in enumerate(shown, start=1)
    )
    name = f"train-{world.level}-{seed}"
    clip = FileClip(f"{name}", masks.shape[1], *world.size, fps=FPS)
    return Subject(name, clip, things, "synth", "Apache-2.0")


def _unseen_drawing(subject: Subject, times: tuple[float, ...]) -> Drawing:
    """What a drawing says beside its pictures."""
    frames = choose_frames(subject.masklets, len(times), 16)
    visible = tuple(tuple(one.object_id for one in subject.masklets if one.rles[frame]) for frame in frames)
    seconds = tuple(times[frame] for frame in frames)
    return Drawing((), tuple(frames), seconds, visible, {}, len(times) / FPS)


def _problems(text: str, case: Case, rules: CheckRules) -> list[Problem]:
    try:
        draft = read_draft(text)
    except DraftError as error:
        return [Problem("reply", error.reason, str(error))]
    return list(check_draft(draft, case.subject, rules, plan=case.plan, times=case.times).problems)


def _check_clean(text: str, case: Case, count: _Count) -> None:
    problems = _problems(text, case, count.rules)
    count.clean_texts += len(case.plan.describe) + len(case.plan.turns)
    alarms = {(one.place, one.reason) for one in problems if one.reason not in _CONSEQUENCES}
    count.false_alarms += len({place for place, _ in alarms})
    count.clean.update(reason for _, reason in alarms)


def _check_planted(kind: str, text: str, place: str, case: Case, count: _Count) -> None:
    places = place.split(", ")
    count.planted[kind] += 1
    problems = _problems(text, case, count.rules)
    reasons = EXPECTED.get(kind, ())
    here = [one for one in problems if one.place in places]
    count.found[kind] += any(one.reason in reasons for one in here)
    count.dropped[kind] += bool(here)
    elsewhere = {
        (one.place, one.reason) for one in problems if one.place not in places and one.reason not in _CONSEQUENCES
    }
    count.false[kind] += len({at for at, reason in elsewhere if reason in reasons})
    if kind in HARMLESS_KINDS:
        count.dropped[kind] += bool(elsewhere)


def _score(kind: str, count: _Count) -> KindScore:
    in_clean = sum(count.clean[reason] for reason in EXPECTED.get(kind, ()))
    false = count.false[kind] + in_clean
    return KindScore(kind, count.planted[kind], count.found[kind], count.dropped[kind], false)


def _row(one: KindScore) -> str:
    cells = (one.kind, one.planted, one.found, one.dropped, _share(one.recall), _share(one.precision))
    return f"| {' | '.join(map(str, cells))} |"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


__all__ = ["EXPECTED", "Case", "KindScore", "Known", "Proof", "cases", "prove", "synthetic_subject"]
