"""Ask, check, repair and check again; a critic and our own model where they are wanted.

Asking stays in this process, where the one budget and the one pace are; requests are drawn and replies are checked by
whoever maps the work. A reply is in the reply store before anything else is done with it, so a request is never sent
again once it was answered.
"""

import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from sama_video.annotate import wording
from sama_video.annotate.agreement_work import AgreementWork
from sama_video.annotate.asking import read_critic, without_places
from sama_video.annotate.drafts import Draft, DraftError
from sama_video.annotate.review.decisions import Decision
from sama_video.annotate.review.reviewing import STAGE as REVIEW
from sama_video.annotate.review.reviewing import ReviewReport, apply_review, judge
from sama_video.annotate.review.writing import content_of
from sama_video.annotate.run_state import RunState
from sama_video.annotate.settings import AgreementSettings, AnnotateSettings, ModelSettings
from sama_video.annotate.stages import Dropped, Json, Kept, Result, Stage, plain
from sama_video.annotate.works import Asking, CheckWork, Mapper
from sama_video.remote.language_model import Estimate, LanguageModel
from sama_video.remote.messages import Reply, Request
from sama_video.remote.transport import EndpointError

CHECK_VERSION: Final = 1


class Dialogues:
    """The stages between masklets and records.

    Args:
        settings: All of them.
        state: Where the run stands.
        mapper: Who draws and checks.
        model: Who writes.
        critic: Who looks at it a second time.
    """

    def __init__(
        self,
        settings: AnnotateSettings,
        state: RunState,
        mapper: Mapper,
        model: LanguageModel,
        critic: LanguageModel | None = None,
    ) -> None:
        self.settings = settings
        self.state = state
        self.mapper = mapper
        self.model = model
        self.critic = critic
        self.last_draft = "check"

    def run(self) -> None:
        """All stages that the settings ask for.

        Raises:
            AccessError, BudgetError: Asking cannot go on; what was answered is kept.
        """
        self._ask("ask", "ask", self.settings.ask, self.model, wording.ASK_VERSION)
        self._check("check", "ask", None, may_mend=self.settings.repair)
        if self.settings.repair:
            self._repair()
        if self.critic is not None:
            self._criticise(self.critic)
        if self.settings.agreement is not None:
            self._compare(self.settings.agreement)

    def review(self, decisions: Sequence[Decision], files: tuple[str, ...]) -> ReviewReport:
        """Apply what people decided; without decisions nothing is done, unless only reviewed samples are wanted."""
        state, before, only = self.state, self.last_draft, self.settings.review.only_reviewed
        if not decisions and not only:
            return ReviewReport()

        def seen(name: str) -> tuple[str, Draft] | None:
            return (content_of(state, name, before), self.draft_of(name)) if name in state.alive else None

        found = replace(judge(decisions, lambda name: name in state.rows, seen), files=files)
        check = CheckWork(self.settings.check, self.settings.mix, self.settings.seed, may_mend=False)
        report = apply_review(state, self.mapper, check, before, found, only_reviewed=only)
        self.last_draft = REVIEW
        return report

    def estimate(self) -> tuple[Estimate, Request | None]:
        """What asking would take, repairs aside, and the first request; nothing is sent."""
        first: list[Request] = []

        def requests() -> Iterator[Request]:
            asking = self._asking("ask", self.settings.ask)
            for _, found in self.mapper.map(asking, self.state.jobs(self.state.alive)):
                if isinstance(found, Request):
                    first[:] = first or [found]
                    yield found

        return self.model.estimate(requests()), first[0] if first else None

    def draft_of(self, name: str) -> Draft:
        """What of a subject's texts is left in the end."""
        return Draft.from_json(self.state.payload(self.last_draft, name)["draft"])

    def _asking(self, kind: str, settings: ModelSettings) -> Asking:
        whole = self.settings
        return Asking(kind, whole.draw, whole.mix, whole.seed, settings.asking)

    def _depends(self, settings: ModelSettings, version: str) -> Json:
        whole = self.settings
        return [settings.shaping, version, plain(whole.draw), plain(whole.mix), whole.seed]

    def _ask(self, name: str, kind: str, settings: ModelSettings, model: LanguageModel, version: str) -> None:
        """One request for each subject."""
        waiting: Counter[str] = Counter()
        stage = Stage(name, 1, self._depends(settings, version))
        self.state.run(stage, lambda todo: self._replies(todo, kind, settings, model, waiting), waiting)

    def _replies(
        self, todo: list[str], kind: str, settings: ModelSettings, model: LanguageModel, waiting: Counter[str]
    ) -> Iterator[tuple[str, Result]]:
        asked: list[str] = []
        dropped: list[tuple[str, Result]] = []
        reply, draft = {"ask": (None, None), "repair": ("ask", "check"), "critic": (None, self.last_draft)}[kind]

        def requests() -> Iterator[Request]:
            jobs = self.state.jobs(todo, reply=reply, draft=draft)
            for subject_id, found in self.mapper.map(self._asking(kind, settings), jobs):
                if isinstance(found, Dropped):
                    dropped.append((subject_id, found))
                else:
                    asked.append(subject_id)
                    yield found

        for place, said in model.ask_all(requests(), workers=settings.workers):
            if isinstance(said, EndpointError):
                waiting[said.kind] += 1
            else:
                yield asked[place], Kept(reply_to_json(said, model.name))
        yield from dropped

    def _check(self, name: str, reply: str, draft: str | None, *, may_mend: bool) -> None:
        """Each reply held against the rules."""
        whole = self.settings
        work = CheckWork(whole.check, whole.mix, whole.seed, may_mend)
        stage = Stage(name, CHECK_VERSION, [plain(whole.check), may_mend])
        self.state.run(stage, lambda todo: self.mapper.map(work, self.state.jobs(todo, reply=reply, draft=draft)))
        self.last_draft = name

    def _repair(self) -> None:
        """One more request where something is missing, and a check of both replies together."""
        waiting: Counter[str] = Counter()
        stage = Stage("repair", 1, [self._depends(self.settings.ask, wording.REPAIR_VERSION)])
        self.state.run(stage, lambda todo: self._mended(todo, waiting), waiting)
        self.state.run(Stage("recheck", CHECK_VERSION, plain(self.settings.check)), self._rechecked)
        self.last_draft = "recheck"

    def _mended(self, todo: list[str], waiting: Counter[str]) -> Iterator[tuple[str, Result]]:
        """Replies to repair requests; nothing for subjects that miss nothing."""
        faulty = []
        for name in todo:
            if self.state.payload("check", name)["mend"]:
                faulty.append(name)
            else:
                yield name, Kept()
        if faulty:
            yield from self._replies(faulty, "repair", self.settings.ask, self.model, waiting)

    def _rechecked(self, todo: list[str]) -> Iterator[tuple[str, Result]]:
        """Drafts of both replies; a subject of which nothing is left is dropped."""
        whole = self.settings
        again = []
        for name in todo:
            if self.state.payload("repair", name) is None:
                yield name, Kept(self.state.payload("check", name))
            else:
                again.append(name)
        work = CheckWork(whole.check, whole.mix, whole.seed, may_mend=False)
        yield from self.mapper.map(work, self.state.jobs(again, reply="repair", draft="check"))

    def _criticise(self, critic: LanguageModel) -> None:
        """Texts that a second model says are untrue are left out."""
        settings = self.settings.critic
        assert settings is not None, "there is a critic"
        self._ask("critic", "critic", settings, critic, wording.CRITIC_VERSION)
        self.state.run(Stage("after_critic"), lambda todo: ((name, self._judged(name)) for name in todo))
        self.last_draft = "after_critic"

    def _compare(self, settings: AgreementSettings) -> None:
        """Turns by whose words our own model finds another object are left out."""
        work, before = AgreementWork(settings), self.last_draft
        stage = Stage("agreement", 1, plain(settings))
        self.state.run(stage, lambda todo: self.mapper.map(work, self.state.jobs(todo, draft=before)))
        self.last_draft = "agreement"

    def _judged(self, name: str) -> Result:
        payload = self.state.payload(self.last_draft, name)
        draft = Draft.from_json(payload["draft"])
        try:
            problems = read_critic(self.state.payload("critic", name)["text"], draft)
        except DraftError as error:
            return Dropped("critic_unreadable", str(error))
        kept = without_places(draft, problems)
        if not kept.turns and not kept.descriptions:
            return Dropped("nothing_kept", "critic")
        told = [*payload["problems"], *(problem.to_json() for problem in problems)]
        return Kept({**payload, "draft": kept.to_json(), "problems": told})


def reply_to_json(reply: Reply, model: str) -> Json:
    """What the ledger keeps of a reply."""
    return {
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "refusal": reply.refusal,
        "model": reply.model or model,
        "asked": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
