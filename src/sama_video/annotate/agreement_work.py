"""The stage `agreement`: our own model is asked for each phrase; turns by whose words it finds another object go."""

from dataclasses import dataclass

from sama_video.annotate.asking import without_places
from sama_video.annotate.case import Subject
from sama_video.annotate.drafts import Draft
from sama_video.annotate.settings import AgreementSettings
from sama_video.annotate.stages import Dropped, Kept, Result
from sama_video.annotate.tracking import load_once
from sama_video.annotate.works import Job, told_as_dropped


@dataclass(frozen=True)
class AgreementWork:
    """Our model's look at one draft."""

    settings: AgreementSettings

    def __call__(self, job: Job) -> Result:
        return told_as_dropped(lambda: self._compare(job.subject(), job))

    def _compare(self, subject: Subject, job: Job) -> Result:
        from sama_video.annotate.agreement import disagreements, phrase_agreement

        draft = Draft.from_json(job.draft["draft"])
        model = load_once(self.settings.model, self.settings.device)
        clip = subject.clip.open()
        try:
            found = phrase_agreement(lambda: model.chat(clip), subject, draft, least_iou=self.settings.least_iou)
        finally:
            clip.close()
        problems = disagreements(found)
        kept = without_places(draft, problems)
        if not kept.turns and not kept.descriptions:
            return Dropped("nothing_kept", "masks_disagree")
        agreeing = sum(one.finding == "agrees" for one in found)
        told = [*job.draft["problems"], *(problem.to_json() for problem in problems)]
        return Kept(
            {
                **job.draft,
                "draft": kept.to_json(),
                "problems": told,
                "phrases": len(found),
                "agree": agreeing,
                "model": f"{model.name}@{model.revision[:12]}",
            }
        )
