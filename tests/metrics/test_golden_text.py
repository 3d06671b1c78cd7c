"""Texts, captions and matching agree with the stored outputs of the reference; one test for every stored case."""

import json

import numpy as np
import pytest
import shared_folders

from sama_video.bench import parsing
from sama_video.metrics import matching
from sama_video.metrics.caption import CaptionPair, cut_text, first_words
from sama_video.video.sampling import sparse_indices

_FOLDER = shared_folders.find_folder(*shared_folders.GOLDEN_METRICS)
pytestmark = pytest.mark.skipif(
    _FOLDER is None, reason="no golden metrics; set SAMA_GOLDEN_METRICS_DIR to a folder that holds them"
)
FILES = ("captions.json", "image_gcg.json", "parsing.json", "sama_g.json")
CAPTION_TOLERANCE = {"METEOR": 1e-4}  # printed with fewer digits; the others are Python's own arithmetic


def load(name):
    # A missing file gives no cases here and a failure below.
    path = _FOLDER / name if _FOLDER else None
    return json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}


CAPTIONS, IMAGES, TEXTS, SAMA = map(load, FILES)


def each(argument, cases):
    cases = list(cases)
    return pytest.mark.parametrize(argument, cases, ids=[str(place) for place in range(len(cases))])


@pytest.mark.parametrize("name", FILES)
def test_golden_file_is_there(name):
    assert load(name), f"{_FOLDER} lacks {name}"


# Texts


@each("case", TEXTS.get("grounding", []))
def test_phrases_and_clean_text(case):
    assert list(parsing.phrases(case["text"])) == case["phrases"]
    assert parsing.clean_text(case["text"]) == case["clean"]


@each("case", TEXTS.get("truncate", []))
def test_truncation(case):
    text = " ".join(f"w{place}" for place in range(case["n_words"]))
    cut = first_words(text, case["max_words"])
    assert len(cut.split()) == case["n_out"]
    assert text.startswith(cut)


@each("case", TEXTS.get("frame_sampling", []))
def test_frame_sampling(case):
    assert sparse_indices(case["vid_len"], max_frames=case["max_frames"]) == case["indices"]


@each("case", TEXTS.get("clair", []))
def test_clair_replies(case):
    read = parsing.clair_reference([case["answer"]])
    assert read.calls == case["calls"]
    assert read.problem == case.get("error")
    assert read.reason == case.get("reason")
    expected = case.get("score")
    assert read.score is None if expected is None else read.score == pytest.approx(expected, abs=1e-12)


def is_right(row):
    return parsing.videorefer_is_right_reference(row["pred"], row["Answer"])


@each("case", TEXTS.get("videorefer_q", {}).get("single", []))
def test_videorefer_choice(case):
    assert is_right(case) == case["correct"]


@each("case", TEXTS.get("videorefer_q", {}).get("expected", {}).items())
def test_videorefer_accuracy(case):
    kind, expected = case
    rows = [row for row in TEXTS["videorefer_q"]["rows"] if kind in ("average", row["type"])]
    right = sum(map(is_right, rows))
    assert {"n": len(rows), "right": right, "accuracy": right / len(rows)} == expected


@each("case", list(zip(*(TEXTS.get("videorefer_d", {}).get(key, []) for key in ("replies", "parsed")), strict=True)))
def test_videorefer_judge(case):
    reply, parsed = case
    assert parsing.videorefer_scores_reference(reply) == {key: parsed[key] for key in parsed if key != "id"}


@each("case", TEXTS.get("region_caption_clean", []))
def test_region_caption_is_cleaned(case):
    assert parsing.region_caption_reference(case["text"]) == case["caption"]


@each("case", TEXTS.get("image_gcg_clean", []))
def test_image_caption_is_cleaned(case):
    assert parsing.image_caption(case["text"]) == (case["caption"], tuple(case["phrases"]))


# Matching


def tracks(objects, height, width):
    return [
        [None if counts is None else {"size": [height, width], "counts": counts} for counts in frames]
        for frames in objects
    ]


def similarities(case):
    return np.array(case["text_sim"], dtype=float).reshape(len(case["gt_phrases"]), len(case["pred_phrases"]))


def sama_inputs(video, question):
    size = video["h"], video["w"]
    return tracks(question["pred"], *size), tracks(question["gt"], *size), similarities(question)


QUESTIONS = [(video, question) for video in SAMA.get("videos", []) for question in video["questions"]]


@each("case", QUESTIONS)
def test_sama_question(case):
    video, question = case
    inputs = sama_inputs(video, question)
    reference, strict = matching.reference_score(*inputs), matching.strict_score(*inputs)
    expected = question["reference"]
    assert reference.miou == pytest.approx(expected["miou"], abs=1e-9)
    assert (reference.counted, [list(pair) for pair in reference.matches]) == (expected["counted"], expected["matches"])
    assert {
        "miou_over_gt": strict.miou_over_gt,
        "miou_over_max": strict.miou_over_max,
        "tp": len(strict.matches),
        "n_gt": strict.num_true,
        "n_pred": strict.num_predicted,
    } == pytest.approx(question["strict"], abs=1e-9)


@each("case", QUESTIONS)
def test_sama_texts(case):
    _, question = case
    for side in ("gt", "pred"):
        assert list(parsing.phrases(question[f"{side}_text"])) == question[f"{side}_phrases"]
        assert parsing.clean_text(question[f"{side}_text"]) == question[f"{side}_clean"]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def sama_video_scores(video):
    inputs = [sama_inputs(video, question) for question in video["questions"]]
    reference, strict = ([score(*one) for one in inputs] for score in (matching.reference_score, matching.strict_score))
    hits = sum(len(one.matches) for one in strict)
    return {
        "reference": {
            "miou": mean(one.miou for one in reference),
            "recall": matching.quotient(
                sum(len(one.matches) for one in reference), sum(one.positives for one in reference)
            ),
        },
        "strict": {
            "miou_over_gt": mean(one.miou_over_gt for one in strict),
            "miou_over_max": mean(one.miou_over_max for one in strict),
            "recall": matching.quotient(hits, sum(one.num_true for one in strict)),
        },
    }


@each("video", SAMA.get("videos", []))
def test_sama_video(video):
    scores = sama_video_scores(video)
    for mode in scores:
        assert scores[mode] == pytest.approx(video[mode], abs=1e-9)


@pytest.mark.parametrize(("name", "part"), [("all", ""), ("as_shipped_VidSTG_only", "VidSTG")])
def test_sama_total(name, part):
    scores = [sama_video_scores(video)["reference"] for video in SAMA["videos"] if part in video["video"]]
    found = {key: mean(score[key] for score in scores) for key in ("miou", "recall")} | {"n": len(scores)}
    assert found == pytest.approx(SAMA["reference"][name], abs=1e-9)


def test_sama_strict_total():
    scores = [matching.strict_score(*sama_inputs(*case)) for case in QUESTIONS]
    hits = sum(len(score.matches) for score in scores)
    assert {
        "question_mean_miou_over_gt": mean(score.miou_over_gt for score in scores),
        "question_mean_miou_over_max": mean(score.miou_over_max for score in scores),
        "pooled_recall": matching.quotient(hits, sum(score.num_true for score in scores)),
    } == pytest.approx(SAMA["strict"], abs=1e-9)


def image_score(image):
    size = image["h"], image["w"]
    predicted, true = (tracks([[counts] for counts in image[side]], *size) for side in ("pred", "gt"))
    return matching.image_reference_score(predicted, true, similarities(image))


@each("image", IMAGES.get("images", []))
def test_image_matching(image):
    score = image_score(image)
    assert score.miou == pytest.approx(image["miou"], abs=1e-9)
    assert [list(pair) for pair in score.matches] == image["matches"]


def test_image_totals():
    scores = [image_score(image) for image in IMAGES["images"]]
    hits, positives = sum(len(score.matches) for score in scores), sum(score.positives for score in scores)
    expected = IMAGES["expected"]
    assert (hits, positives) == (expected["true_positives"], expected["actual_positives"])
    assert hits / positives == pytest.approx(expected["recall"], abs=1e-9)
    assert mean(score.miou for score in scores) == pytest.approx(expected["mean_miou"], abs=1e-9)
    assert (expected["iou_threshold"], expected["text_sim_threshold"]) == (matching.MIN_IOU, matching.MIN_SIMILARITY)


# Captions


@each("pair", CAPTIONS.get("pairs", []))
def test_tokens(pair, caption_scorer):
    found = caption_scorer.tokens([cut_text(pair["ref"]), cut_text(pair["cand"])])
    assert found == (pair["ref_tokens"], pair["cand_tokens"])


RESULTS = {
    **({"all": CAPTIONS["results"]["all"]} if CAPTIONS else {}),
    **{f"group {place}": group for place, group in enumerate(CAPTIONS.get("results", {}).get("groups", []))},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RESULTS)
def test_caption_corpus(name, caption_scorer):
    expected = RESULTS[name]
    pairs = [CaptionPair(cut_text(pair["cand"]), (cut_text(pair["ref"]),)) for pair in CAPTIONS["pairs"]]
    scores = caption_scorer.score(pairs, [expected["items"]])
    assert set(scores.missing) == {"SPICE"}
    (corpus,) = scores.corpora
    assert set(corpus.corpus) == set(expected["corpus"])
    for metric, value in expected["corpus"].items():
        tolerance = CAPTION_TOLERANCE.get(metric, 1e-6)
        assert corpus.corpus[metric] == pytest.approx(value, abs=tolerance), metric
        of_items = [item[metric] for item in expected["per_item"]]
        assert corpus.items[metric] == pytest.approx(of_items, abs=tolerance), metric


@pytest.mark.slow
def test_several_references(caption_scorer):
    pairs = [
        CaptionPair(cut_text(case["cand"]), tuple(map(cut_text, case["refs"]))) for case in CAPTIONS["multi_reference"]
    ]
    tokens = CAPTIONS["multi_reference_tokens"]
    assert [list(caption_scorer.tokens(pair.references)) for pair in pairs] == tokens["refs"]
    assert list(caption_scorer.tokens([pair.candidate for pair in pairs])) == tokens["cand"]
    (corpus,) = caption_scorer.score(pairs).corpora
    expected = CAPTIONS["multi_reference_results"]
    bleu = expected["Bleu"]
    for name, value, values in zip(
        ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"), bleu["corpus"], bleu["per_item"], strict=True
    ):
        assert corpus.corpus[name] == pytest.approx(value, abs=1e-6), name
        assert corpus.items[name] == pytest.approx(values, abs=1e-6), name
    for name in ("METEOR", "ROUGE_L", "CIDEr"):
        tolerance = CAPTION_TOLERANCE.get(name, 1e-6)
        assert corpus.corpus[name] == pytest.approx(expected[name]["corpus"], abs=tolerance), name
        assert corpus.items[name] == pytest.approx(expected[name]["per_item"], abs=tolerance), name
