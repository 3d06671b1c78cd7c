"""Mask metrics against stored outputs of the public evaluation code; tolerances as the folder's README gives them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_folders import GOLDEN_METRICS, find_folder

from sama_video.metrics import boundary, davis, detection, expressions, referring, volume
from sama_video.regions import rle

EXACT = 1e-9


def read(name: str) -> Any:
    """A file of the folder, found while tests are collected; nothing without the folder or the file."""
    folder = find_folder(*GOLDEN_METRICS)
    return json.loads((folder / name).read_text()) if folder and (folder / name).is_file() else None


def each(name: str, pick: Any) -> list[Any]:
    """One test for each case of a file; a skipped one where there is none."""
    document = read(name)
    if document is None:
        return [pytest.param(None, id=f"no {name}", marks=pytest.mark.skip(reason=f"no {name}"))]
    return [pytest.param(case, id=str(label)) for label, case in pick(document)]


def track(masks: list[str | None], height: int, width: int) -> tuple[rle.Rle | None, ...]:
    return tuple(None if counts is None else {"size": [height, width], "counts": counts} for counts in masks)


def number(value: float | None) -> float:
    return math.nan if value is None else value


def numbers(rows: Any) -> np.ndarray:
    return np.array(rows, dtype=np.float64)  # null becomes NaN


def same(value: Any, expected: Any, tolerance: float = EXACT) -> bool:
    return bool(np.allclose(value, numbers(expected), rtol=0, atol=tolerance, equal_nan=True))


jf_cases = each("jf_cases.json", lambda document: [(case["name"], case) for case in document["cases"]])


def tracks_of(case: Any, key: str) -> list[tuple[rle.Rle | None, ...]]:
    return [track(masks, case["h"], case["w"]) for masks in case[key]]


def void_of(case: Any) -> tuple[rle.Rle | None, ...] | None:
    return track(case["void"], case["h"], case["w"]) if case.get("void") else None


@pytest.fixture(scope="module")
def jf_frames() -> dict[str, list[boundary.FrameScores]]:
    """Series of each case, worked out once for the tests below."""
    return {}


def series_of(case: Any, kept: dict[str, list[boundary.FrameScores]]) -> list[boundary.FrameScores]:
    if case["name"] not in kept:
        size = (case["h"], case["w"])
        pairs = zip(tracks_of(case, "gt"), tracks_of(case, "pred"), strict=True)
        kept[case["name"]] = [boundary.jf_series(a, b, size, void=void_of(case)) for a, b in pairs]
    return kept[case["name"]]


@pytest.mark.parametrize("case", jf_cases)
def test_j_and_f_of_every_frame(case, jf_frames):
    frames = series_of(case, jf_frames)
    assert boundary.tolerance((case["h"], case["w"])) == case["bound_pix"]
    assert same([one.j for one in frames], case["J"])
    assert same([one.f for one in frames], case["F"])


@pytest.mark.parametrize("case", jf_cases)
def test_statistics_of_objects_and_sequence(case, jf_frames):
    frames = series_of(case, jf_frames)
    stacked = boundary.FrameScores(np.stack([one.j for one in frames]), np.stack([one.f for one in frames]))
    objects = davis.object_scores(stacked, "reference")
    for one, expected in zip(objects, case["per_object"], strict=True):
        for name, found in (("J", one.j), ("F", one.f)):
            assert same((found.mean, found.recall, found.decay), [expected[f"{name}_{key}"] for key in KEYS])
    totals = davis.davis_totals(objects)
    expected = case["sequence"]
    assert same(totals.jf_mean, expected["J&F-Mean"])
    for name, found in (("J", totals.j), ("F", totals.f)):
        assert same((found.mean, found.recall, found.decay), [expected[f"{name}-{key.title()}"] for key in KEYS])


KEYS = ("mean", "recall", "decay")


@pytest.mark.parametrize("case", jf_cases)
def test_proposals_matched_without_names(case):
    expected = case.get("unsupervised")
    if not expected:
        pytest.skip("the case has no unsupervised part")
    proposals = [tracks_of(case, "pred")[idx] for idx in expected["proposal_order"]]
    found = davis.unsupervised(tracks_of(case, "gt"), proposals, (case["h"], case["w"]), void=void_of(case))
    assert same(found.frames.j, expected["J_rows"])
    assert same(found.frames.f, expected["F_rows"])
    totals = davis.davis_totals(davis.object_scores(found.frames, "reference"))
    assert same((totals.j.mean, totals.f.mean), (number(expected["J_mean"]), number(expected["F_mean"])))


@pytest.mark.parametrize("case", jf_cases)
def test_pixelqa_volume(case):
    if not case.get("pixelqa_volume"):
        pytest.skip("the case has no volume part")
    for true, predicted, expected in zip(
        tracks_of(case, "gt"), tracks_of(case, "pred"), case["pixelqa_volume"], strict=True
    ):
        found = volume.volume_scores(true, predicted, (case["h"], case["w"]), "reference")
        assert same((found.j, found.f, found.jf), [expected[key] for key in ("J", "F", "JF")], 1e-5)


@pytest.mark.parametrize(
    "series",
    each("statistics_series.json", lambda document: [(f"{at}-{one['n']}", one) for at, one in enumerate(document)]),
)
def test_statistics_of_a_series(series):
    found = davis.series_statistics(numbers(series["values"]), "reference")
    assert same((found.mean, found.recall, found.decay), series["MRD"])


protocol = each("rvos_protocol.json", lambda document: [("rvos_protocol", document)])
revos_sides = each("rvos_protocol.json", lambda document: [(f"png{value}", (document, value)) for value in (255, 1)])


def expressions_of(document: Any) -> list[tuple[str, Any, Any, tuple[rle.Rle | None, ...] | None]]:
    """Name, video, expression and prediction of each; no prediction for the video that has none."""
    found = []
    missing = document.get("missing_video") or ()
    missing = (missing,) if isinstance(missing, str) else missing
    for name, video in document["videos"].items():
        for number_, expression in video["expressions"].items():
            masks = None if name in missing else document["predictions"].get(f"{name}/{number_}")
            predicted = None if masks is None else track(masks, video["height"], video["width"])
            found.append((f"{name}_{number_}", video, expression, predicted))
    return found


def annotation(document: Any, video: Any, idx: int) -> tuple[rle.Rle | None, ...]:
    return track(document["mask_dict"][str(idx)], video["height"], video["width"])


@pytest.mark.parametrize("document", protocol)
@pytest.mark.parametrize("script", ["mevis", "ref_davis17"])
def test_expressions(document, script):
    scores = {}
    for name, video, expression, predicted in expressions_of(document):
        idxs = expression["anno_id"][: 1 if script == "ref_davis17" else None]
        instances = [annotation(document, video, idx) for idx in idxs]
        scores[name] = expressions.expression_scores(instances, predicted, (video["height"], video["width"]))
    for name, expected in document[script]["per_expression"].items():
        assert same((scores[name].j, scores[name].f), expected), name
    totals = expressions.expression_totals(list(scores.values()), "reference")
    expected = document[script]["result"]
    assert same((100 * totals.j, 100 * totals.f, 100 * totals.jf), [expected[key] for key in ("J", "F", "J&F")], 1e-6)


def foregrounds(document: Any) -> dict[str, tuple[rle.Rle | None, ...]]:
    found = {}
    for name, video in document["videos"].items():
        idxs = sorted({idx for one in video["expressions"].values() for idx in one["anno_id"]})
        annotations = [annotation(document, video, idx) for idx in idxs]
        found[name] = expressions.foreground_track(annotations, (video["height"], video["width"]))
    return found


@pytest.mark.parametrize("side", revos_sides)
def test_revos(side):
    document, png_value = side
    expected = document[f"revos_png{png_value}"]
    foreground = foregrounds(document)
    scores, types = [], []
    for name, video, expression, predicted in expressions_of(document):
        instances = [annotation(document, video, idx) for idx in expression["anno_id"]]
        found = expressions.revos_scores(
            instances,
            predicted,
            foreground[name.rpartition("_")[0]],
            (video["height"], video["width"]),
            "reference",
            png_value=png_value,
        )
        if name in expected["per_expression"]:
            assert same((found.j, found.f, found.a, found.r), expected["per_expression"][name]), name
        scores.append(found)
        types.append(expression["type_id"])
    assert set(expected["per_expression"]) <= {name for name, *_ in expressions_of(document)}
    totals = expressions.revos_totals(scores, types, "reference")
    for key, of_kind in (("referring", totals.referring), ("reason", totals.reasoning), ("overall", totals.overall)):
        found = (of_kind.j, of_kind.f, of_kind.a, of_kind.r, (of_kind.j + of_kind.f) / 2)
        wanted = [expected["result"][key][name] for name in ("J", "F", "A", "R", "JF")]
        assert same(100 * np.array(found), wanted, 1e-6), key


@pytest.mark.parametrize("document", protocol)
def test_revos_foreground(document):
    for part in ("revos_png255", "revos_png1"):
        for name, expected in document[part].get("foreground", {}).items():
            video = document["videos"][name]
            found = foregrounds(document)[name]
            stored = track(expected["masks_rle"], video["height"], video["width"])
            for one, other in zip(found, stored, strict=True):
                assert rle.overlap_areas(one, other)[0] == rle.overlap_areas(one, other)[1]
            pixels = video["height"] * video["width"]
            ratios = [0.0 if one is None else rle.area(one) / pixels for one in found]
            assert same(ratios, expected["foreground_ratio"])


def overlaps_of(document: Any) -> list[list[referring.Overlap]]:
    found = []
    for picture in document["images"]:
        true, predicted = (track(picture[key], *picture["size"]) for key in ("gt", "pred"))
        found.append([referring.mask_overlap(a, b) for a, b in zip(true, predicted, strict=True)])
    return found


@pytest.mark.parametrize("document", each("res_cases.json", lambda document: [("res_cases", document)]))
def test_referring_expressions(document):
    overlaps = overlaps_of(document)
    reference = referring.referring_scores(overlaps, "reference")
    expected = document["reference"]
    assert same((reference.ciou, reference.giou), (number(expected["cIoU"]), number(expected["gIoU"])), 1e-6)
    strict, expected = referring.referring_scores(overlaps, "strict"), document["strict"]
    assert same((strict.ciou, strict.giou), (number(expected["cIoU"]), number(expected["gIoU"])))
    flat = [one for picture in overlaps for one in picture]
    sums = (sum(one.intersection for one in flat), sum(one.union for one in flat), len(flat))
    assert sums == (expected["inter"], expected["union"], expected["n"])
    assert same(list(strict.precision.values()), list(expected["precision"].values()))
    assert [str(bound) for bound in strict.precision] == list(expected["precision"])


@pytest.mark.parametrize(
    "case", each("res_cases.json", lambda document: enumerate(document.get("overlapping_polygons", [])))
)
def test_overlapping_polygons_leave_holes(case):
    values = np.array(case["values"], dtype=np.uint8)
    found = referring.encode_sums(values)
    assert found == {"size": [case["h"], case["w"]], "counts": case["rle"]}
    assert rle.area(found) == case["decoded_area"]
    assert np.count_nonzero(values) == case["area_true"]


@pytest.mark.parametrize("document", each("image_gcg.json", lambda document: [("image_gcg", document)]))
def test_average_precision_of_pictures(document):
    pictures = []
    for picture in sorted(document["images"], key=lambda one: one["id"]):
        true, detected = (track(picture[key], picture["h"], picture["w"]) for key in ("gt", "pred"))
        pictures.append(detection.PictureMasks(true, detected))
    found = detection.picture_precision(pictures)
    expected = document["expected"]["coco_segm"]
    assert set(found) == set(expected)
    for name, value in found.items():
        assert same(-1.0 if value is None else value, -1.0 if expected[name] is None else expected[name]), name


def test_a_named_folder_that_is_missing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(GOLDEN_METRICS[0], str(tmp_path / "gone"))
    with pytest.raises(pytest.UsageError, match="is no folder"):
        read("jf_cases.json")
