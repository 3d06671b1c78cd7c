"""MeViS, Ref-YouTube-VOS and Ref-SAV, expression by expression."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sama_video.bench.measures import missing
from sama_video.bench.task import Json, Mode, Prediction, Row, ScoreTools, Summary
from sama_video.bench.tasks.expression_task import ANSWER_RATE, JF, ExpressionTask, answer_rate
from sama_video.bench.wording import expression_question
from sama_video.data.findings import Findings
from sama_video.data.mask_files import open_mask_file
from sama_video.data.sources.expressions import (
    Expression,
    ExpressionVideo,
    read_mevis,
    read_ref_sav,
    read_ref_youtube_vos,
)
from sama_video.data.sources.layouts import REF_SAV_FILE, Layout, sav_root

ON_A_SERVER: Final = "scored by the competition's server; sama bench submit packs the masks for it"


class MevisValidU(ExpressionTask):
    """The part of MeViS whose ground truth is public."""

    name = "mevis-valid-u"
    title = "MeViS valid_u"
    needs = ("valid_u/meta_expressions.json",)
    names = ("mevis", "MeViS", "video_datas/mevis")

    def videos(self, root: Path, findings: Findings) -> Iterator[ExpressionVideo]:
        return read_mevis(root, "valid_u", findings)

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        masks = open_mask_file(root / "valid_u" / "mask_dict.json", findings)
        return super().count(root, findings) | {"mask_tracks": len(masks)}


class _OnServer(ExpressionTask):
    """A split whose ground truth its makers keep: what is counted here is what a submission must hold."""

    headline = (ANSWER_RATE,)

    def count(self, root: Path, findings: Findings) -> dict[str, Json]:
        videos = list(self.videos(root, Findings()))
        pngs = sum(video.clip.num_frames * len(video.expressions) for video in videos)
        return super().count(root, findings) | {"submission_pngs": pngs}

    def score_question(self, prediction: Prediction, mode: Mode, tools: ScoreTools) -> Row:
        answered = {"answered": float(bool(prediction.pred_tracks))}
        return Row(prediction.sample_id, prediction.video, prediction.subset, mode, sums=answered)

    def summarise(self, rows: Sequence[Row], mode: Mode, tools: ScoreTools) -> Summary:
        return Summary((*missing(JF, mode, ON_A_SERVER), answer_rate(rows, mode)))


class MevisValid(_OnServer):
    """MeViS as the leaderboard has it."""

    name = "mevis-valid"
    title = "MeViS valid"
    needs = ("valid/meta_expressions.json",)
    names = ("mevis", "MeViS", "video_datas/mevis")

    def videos(self, root: Path, findings: Findings) -> Iterator[ExpressionVideo]:
        return read_mevis(root, "valid", findings)


class RefYoutubeVos(_OnServer):
    """Ref-YouTube-VOS as the leaderboard has it."""

    name = "ref-youtube-vos"
    title = "Ref-YouTube-VOS valid"
    needs = ("meta_expressions/valid/meta_expressions.json",)
    names = ("ref_youtube_vos", "rvos", "video_datas/rvos")

    def videos(self, root: Path, findings: Findings) -> Iterator[ExpressionVideo]:
        return read_ref_youtube_vos(root, "valid", findings)


class RefSav(ExpressionTask):
    """Long descriptions of objects of SA-V videos, of which every fourth frame has masks."""

    name = "ref-sav"
    title = "Ref-SAV"
    needs = (REF_SAV_FILE,)
    names = ("video_datas", "ref_sav", "Ref-SAV", "video_datas/ref_sav")

    def videos(self, root: Path, findings: Findings) -> Iterator[ExpressionVideo]:
        layout = Layout("ref_sav", root / REF_SAV_FILE, root.parent)
        return read_ref_sav(layout.path, sav_root(layout), findings)

    def question_of(self, expression: Expression) -> str:
        # These are sentences, and the question ends with a full stop of its own.
        return expression_question(expression.text.removesuffix("."))
