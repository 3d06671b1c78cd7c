"""What our own model catches of mistakes about which object is meant, where the checks are told nothing of the objects.

prove_agreement(load("nano"), clips=20).to_markdown()
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sama_video.annotate.agreement import Talker, disagreements, phrase_agreement
from sama_video.annotate.drafts import Draft, read_draft
from sama_video.annotate.proof import Case, cases
from sama_video.annotate.scripted.endpoint import true_reply
from sama_video.annotate.scripted.mistakes import plant
from sama_video.annotate.scripted.scene import as_text
from sama_video.chat.answer import Answer
from sama_video.chat.loading import LoadedModel
from sama_video.chat.rules import Ground
from sama_video.data.building.draws import Draws
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.levels import FPS
from sama_video.video.clip import Clip

KINDS: Final = ("swapped ids", "wrong object", "invented object", "wrong partner")


@dataclass(frozen=True)
class AgreementProof:
    """What was measured.

    Attributes:
        findings: Phrases of true answers, by what our model made of them.
        turns, false_alarms: Turns of true answers with a phrase, and those that it would have dropped.
        planted, caught: Mistakes by kind, and those whose turn it drops.
    """

    model: str
    clips: int
    level: int
    findings: dict[str, int]
    turns: int
    false_alarms: int
    planted: dict[str, int]
    caught: dict[str, int]

    def to_markdown(self) -> str:
        """A table for a page."""
        total = sum(self.findings.values())
        told = ", ".join(f"{count} {finding}" for finding, count in sorted(self.findings.items()))
        lines = [
            f"{self.model} on {self.clips} clips of level {self.level}: of {total} phrases of true answers {told}; "
            f"{self.false_alarms} of {self.turns} true turns dropped.",
            "",
            "| planted, nothing known of the objects | times | caught by masks |",
            "|---|---|---|",
            *(f"| {kind} | {self.planted.get(kind, 0)} | {self.caught.get(kind, 0)} |" for kind in KINDS),
        ]
        return "\n".join(lines)


def prove_agreement(model: LoadedModel, clips: int = 20, seed: int = 0, level: int = 1) -> AgreementProof:
    """Ask a model for the phrases of true answers and of answers with a mistake about which object is meant."""
    findings: Counter[str] = Counter()
    planted: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    turns = false_alarms = 0
    for case in cases(clips, seed, level, "nothing"):
        asked = _Remembering(model, _painted(case, level))
        true = true_reply(case.heard, case.truth, seed)
        results = phrase_agreement(asked, case.subject, read_draft(as_text(true)))
        findings.update(one.finding for one in results)
        turns += len({one.place for one in results})
        false_alarms += len({problem.place for problem in disagreements(results)})
        for kind, place, draft in _planted(case, seed):
            problems = disagreements(phrase_agreement(asked, case.subject, draft))
            planted[kind] += 1
            caught[kind] += any(problem.place == place for problem in problems)
    return AgreementProof(model.name, clips, level, dict(findings), turns, false_alarms, dict(planted), dict(caught))


class _Remembering:
    """Fresh conversations about one clip; what was asked before is answered as before."""

    def __init__(self, model: LoadedModel, clip: Clip) -> None:
        self._session = model.chat(clip)
        self._known: dict[str, Answer] = {}

    def __call__(self) -> Talker:
        return self

    def ask(self, question: str, *, ground: Ground = "auto") -> Answer:
        """The answer of a conversation that nothing was said in before."""
        if question not in self._known:
            self._known[question] = self._session.another().ask(question, ground=ground)
        return self._known[question]


def _painted(case: Case, level: int) -> Clip:
    number = int(case.subject.subject_id.rpartition("-")[2])
    return Clip.from_frames(DiagnosticWorld(level).paint(number).frames, fps=FPS)


def _planted(case: Case, seed: int) -> Iterator[tuple[str, str, Draft]]:
    true = true_reply(case.heard, case.truth, seed)
    for kind in KINDS:
        draws = Draws("proof", seed, case.subject.subject_id, kind)
        made = plant(kind, true, case.truth, draws, case.heard.duration / case.truth.num_frames)
        if made is not None:
            yield kind, made[1], read_draft(made[0])
