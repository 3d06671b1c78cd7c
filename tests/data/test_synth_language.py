"""What is said of diagnostic clips is true: held against pixels and, where words alone decide, against the scene."""

import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from sama_video.data.synthetic.answers import (
    VOCABULARY,
    asks_back,
    caption_facts,
    denies,
    interval,
    interval_overlap,
    judge,
    named,
    number,
    word_overlap,
    yes_or_no,
)
from sama_video.data.synthetic.diagnostic import DiagnosticWorld
from sama_video.data.synthetic.levels import COLORS, SHAPES, SIZES, TEXTURES
from sama_video.data.synthetic.painting import silhouettes
from sama_video.data.synthetic.plots import Event
from sama_video.data.synthetic.questions import FAMILIES, Question, Talk, exam_of, talk_of
from sama_video.data.synthetic.references import REFERENCE_KINDS, references
from sama_video.data.synthetic.story import Story
from sama_video.dialogue.markup import REGION_TAG, SEG, check_tags, parse_answer
from sama_video.errors import DataError

SIDE = 192
FIRST = 10_000_140  # whence few clips hold every kind of event several times
WORLDS = {level: DiagnosticWorld(level) for level in (1, 2, 3)}
SEEDS = {1: 25, 2: 70, 3: 35}


@lru_cache
def stories(level: int) -> tuple[Story, ...]:
    return tuple(WORLDS[level].story(FIRST + n) for n in range(SEEDS[level]))


@lru_cache
def exams(level: int) -> tuple[tuple[Question, ...], ...]:
    return tuple(exam_of(story) for story in stories(level))


@lru_cache
def talks(level: int) -> tuple[Talk, ...]:
    return tuple(talk_of(story) for story in stories(level)[:50])


@lru_cache(maxsize=64)
def masks_of(level: int, n: int) -> np.ndarray:
    return silhouettes(stories(level)[n].episode, (SIDE, SIDE)).masks


def happening(kind: str, level: int = 2, most: int = 4) -> list[tuple[int, Story, Event]]:
    found = [
        (n, story, event) for n, story in enumerate(stories(level)) for event in story.events if event.kind == kind
    ]
    assert len(found) >= 4, kind
    return found[:most]


def centroids(masks: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    area = masks.sum(axis=(1, 2)).clip(1)
    return np.stack([(masks * columns).sum(axis=(1, 2)) / area, (masks * rows).sum(axis=(1, 2)) / area], axis=1)


def gap(a: np.ndarray, b: np.ndarray) -> float:
    first, second = np.argwhere(a), np.argwhere(b)
    if not len(first) or not len(second):
        return float("inf")
    return float(min(np.hypot(*(second - point).T).min() for point in first[:: max(1, len(first) // 150)]))


@pytest.mark.slow
def test_colliding_objects_meet_at_the_told_frame_and_part_again():
    for n, _, event in happening("collides with"):
        masks = masks_of(2, n)
        pair = masks[[event.actor, event.other]]
        if pair[:, event.first].any(axis=(1, 2)).all() and pair[:, 0].any(axis=(1, 2)).all():
            assert gap(*pair[:, event.first]) <= 8  # tilted outlines and corners leave a few pixels
            assert gap(*pair[:, 0]) > gap(*pair[:, event.first]) + 3
            assert gap(*pair[:, -1]) > gap(*pair[:, event.first]) + 3


def test_overtaking_changes_who_is_ahead():
    for _, story, event in happening("overtakes"):
        way = story.actors[event.actor].path.phases[0].travel
        assert story.actors[event.other].path.directions == story.actors[event.actor].path.directions
        ahead = (story.centers[event.actor] - story.centers[event.other]) @ np.asarray(way)
        assert ahead[0] < 0 < ahead[-1]
        assert abs(ahead[event.first]) < 0.25 * abs(ahead[0])


def test_follower_is_where_the_leader_was():
    for _, story, event in happening("follows"):
        mine, theirs = story.centers[event.actor], story.centers[event.other]
        nearest = np.linalg.norm(mine[story.last] - theirs, axis=1)
        assert nearest.min() < 0.06
        assert nearest.argmin() < story.last


def test_hidden_object_is_not_seen_but_there_before_and_after():
    for n, story, event in happening("is hidden"):
        area = masks_of(2, n)[event.actor].sum(axis=(1, 2))
        assert area[event.first : event.last + 1].max() < 0.35 * area.max()
        assert area[event.first - 1] > 0
        assert area[event.last + 1] > 0
        assert event.other > event.actor
        assert story.occluded[event.actor].any()
        middle = (event.first + event.last) // 2
        alone = replace(story.episode, actors=(story.actors[event.actor],))
        covered = silhouettes(alone, (SIDE, SIDE), [middle]).masks[0, 0] & masks_of(2, n)[:, middle]
        assert covered.sum(axis=(1, 2)).argmax() == event.other


@pytest.mark.parametrize("kind", ["appears", "vanishes", "leaves", "enters", "comes back"])
def test_coming_and_going_is_seen_in_the_pixels(kind):
    for n, _, event in happening(kind):
        area = masks_of(2, n)[event.actor].sum(axis=(1, 2))
        before, after = area[: event.first], area[event.first :]
        if kind == "appears":
            assert before.max() == 0
            assert after[0] > 0
        elif kind == "vanishes":
            assert before[-1] > 0
            assert after.max() == 0
        elif kind == "leaves":
            assert after.max() < 0.45 * area.max()
            assert area[-1] == 0
        elif kind == "enters":
            assert before.max() < 0.45 * area.max()
            assert area[0] == 0
        else:
            assert before[0] > 0
            assert before.min() == 0
            assert area[-1] > 0


def test_color_change_is_seen_in_the_pixels():
    for n, _, event in happening("turns", most=4):
        painted = WORLDS[2].paint(FIRST + n)
        mask = painted.masks[event.actor]
        before, after = (mask[frame] for frame in (event.first - 1, event.first))
        if before.sum() > 40 and after.sum() > 40:
            old = np.percentile(painted.frames[event.first - 1][before], 90, axis=0)
            new = np.percentile(painted.frames[event.first][after], 90, axis=0)
            nearest = min(COLORS, key=lambda color: np.abs(np.asarray(COLORS[color]) - new).sum())
            assert np.abs(old - new).max() > 30
            assert nearest == event.color


def test_objects_go_where_it_is_said_in_the_picture():
    axes = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}
    checked = 0
    for n, story in enumerate(stories(2)[:40]):
        for idx, actor in enumerate(story.actors):
            if not story.is_always_seen(idx) or story.occluded[idx].any() or not story.clear[idx].all():
                continue
            track = centroids(masks_of(2, n)[idx])
            if not actor.path.phases:
                assert np.abs(track - track[0]).max() < 2
            for phase in actor.path.phases:
                axis, sign = axes[phase.direction]
                way = track[phase.last] - track[phase.first]
                assert sign * way[axis] > 0.06 * SIDE
                assert abs(way[1 - axis]) < 0.4 * abs(way[axis])
                checked += 1
    assert checked > 40


def test_story_is_the_same_at_every_resolution():
    for seed in range(FIRST, FIRST + 4):
        small, large = (DiagnosticWorld(2, (side, side)) for side in (64, 300))
        assert small.exam(seed) == large.exam(seed)
        assert small.talk(seed) == large.talk(seed)


def words_in(text: str) -> dict[str, set[str]]:
    said = {re.sub(r"(?<=ss)es$|(?<!s)s$", "", word) for word in re.findall(r"[a-z]+", text.lower())}
    return {
        "color": said & set(COLORS),
        "shape": said & set(SHAPES),
        "size": said & set(SIZES),
        "texture": said & set(TEXTURES),
    }


def fitting(story: Story, words: dict[str, set[str]]) -> list[int]:
    found = []
    for idx, actor in enumerate(story.actors):
        own = {"color": set(actor.colors), "shape": {actor.look.shape}, "size": {actor.look.size}}
        own["texture"] = {str(actor.look.texture)}
        if all(words[attribute] <= own[attribute] for attribute in own):
            found.append(idx)
    return found


@pytest.mark.slow
def test_attribute_references_fit_one_object_alone():
    for level in WORLDS:
        for story in stories(level)[:30]:
            for idx in story.shown:
                kinds = [reference for reference in references(story, idx) if reference.kind == "attribute"]
                assert kinds
                assert words_in(kinds[0].words)["color"]
                assert words_in(kinds[0].words)["shape"]
                for reference in kinds:
                    assert fitting(story, words_in(reference.words)) == [idx]


def test_references_of_any_kind_are_never_shared_by_two_objects():
    kinds: Counter[str] = Counter()
    for level in WORLDS:
        for story in stories(level)[:50]:
            told = [(r.words, r.other) for idx in story.shown for r in references(story, idx)]
            assert len(set(told)) == len(told)
            kinds.update(r.kind for idx in story.shown for r in references(story, idx))
    assert set(kinds) == set(REFERENCE_KINDS)
    assert min(kinds.values()) >= 10


def test_beside_means_beside():
    sides = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
    for story in stories(2)[:40]:
        for idx in story.shown:
            for reference in references(story, idx):
                for words, (axis, sign) in sides.items():
                    if words in reference.words and reference.other is not None:
                        away = story.centers[idx, 0] - story.centers[reference.other, 0]
                        assert sign * away[axis] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_question_has_its_regions_masks_and_a_right_answer(level):
    families = set()
    for story, exam in zip(stories(level), exams(level), strict=True):
        for question in exam:
            families.add(question.family)
            forms = [(question.text, question.regions)] + ([question.alone] if question.alone else [])
            for text, regions in forms:
                check_tags(text, len(regions))
                for pointed in regions:
                    assert story.clear[pointed.object_idx, pointed.frame]
            assert question.answer.count(SEG) == len(question.targets)
            parsed = parse_answer(question.answer)
            assert not parsed.problems
            for phrase, group in zip(parsed.phrases, question.targets, strict=True):
                assert set(group) <= set(story.shown)
                said = words_in(phrase.text)
                assert all(idx in fitting(story, said) for idx in group)
            if question.expect["rule"] != "mask":
                assert judge(question.answer, question.expect) == 1.0, (question.text, question.answer)
    assert families == set(FAMILIES) - ({"events"} if level == 1 else set())


@pytest.mark.slow
def test_answers_that_are_wrong_or_empty_are_told_from_right_ones():
    for exam in exams(2)[:6]:
        for question in exam:
            if question.expect["rule"] in ("mask", "absent") or question.kind == "camera":
                continue
            assert judge("", question.expect) in (None, 0.0)
            if question.expect["rule"] in ("words", "sequence", "yes", "number", "interval", "caption"):
                same = (question.family, question.kind)
                others = [q.answer for each in exams(2) for q in each if (q.family, q.kind) == same][:40]
                assert min(judge(answer, question.expect) or 0.0 for answer in others) < 1.0


@pytest.mark.slow
def test_things_that_are_not_there_are_not_there():
    near = total = 0
    for level in WORLDS:
        for story, exam in zip(stories(level), exams(level), strict=True):
            for question in (q for q in exam if q.family == "not-there"):
                found = fitting(story, words_in(question.text))
                assert bool(found) != question.expect["want"]
                assert question.targets == (((found[0],),) if found else ())
                assert ("here is no" in question.answer) == (not found)
                total += not found
                near += not found and any(fitting(story, {**EMPTY, key: words_in(question.text)[key]}) for key in EMPTY)
    assert total > 60
    assert near > 0.7 * total


EMPTY: dict[str, set[str]] = {"color": set(), "shape": set(), "size": set(), "texture": set()}


def test_ambiguous_words_fit_several_objects_and_the_answer_asks_which():
    several = one = 0
    for level in (2, 3):
        for story, exam in zip(stories(level), exams(level), strict=True):
            for question in (q for q in exam if q.family == "ambiguous"):
                found = fitting(story, words_in(question.text))
                if question.kind == "several":
                    several += 1
                    assert len(found) > 1
                    assert question.answer.startswith("Which one")
                    assert len(set(question.expect["options"])) == len(found)
                    assert not question.targets
                else:
                    one += 1
                    assert question.targets == ((found[0],),)
                    assert len(found) == 1
    assert 0.3 < several / (several + one) < 0.7


def test_yes_and_no_are_both_common():
    for family in ("comparison", "events", "not-there"):
        truths = [
            q.expect["want"] for e in (*exams(2), *exams(3)) for q in e if q.family == family and q.kind != "turns"
        ]
        truths = [truth for truth in truths if isinstance(truth, bool)]
        assert 0.3 < sum(truths) / len(truths) < 0.7, family


def test_counts_and_times_are_those_of_the_clip():
    for story, exam in zip(stories(2), exams(2), strict=True):
        for question in exam:
            if question.family == "counting":
                moving = [i for i in story.shown if story.actors[i].path.phases]
                truth = {"all": list(story.shown), "moving": moving}.get(
                    question.kind, fitting(story, words_in(question.text))
                )
                assert question.expect["want"] == len(truth)
            if question.family == "temporal" and question.kind == "in view":
                frames = np.flatnonzero(story.seen[question.targets[0][0]]) / 10
                assert question.expect["want"] == [frames[0], frames[-1]]


def test_follow_ups_lean_on_the_first_turn_and_can_be_asked_alone():
    kinds = set()
    for exam in exams(2):
        turns = [question for question in exam if question.family == "dialogue"]
        assert [question.turn for question in turns] == list(range(len(turns)))
        for question in turns[1:]:
            kinds.add(question.kind)
            assert REGION_TAG not in question.text
            assert question.alone is not None
            assert REGION_TAG in question.alone[0]
            assert re.search(r"\bit\b|\bother\b|\bfirst question\b", question.text)
    assert {"it: attribute", "it: motion", "from it", "the other", "first mention"} <= kinds


@pytest.mark.slow
@pytest.mark.parametrize("level", [1, 2, 3])
def test_dialogues_name_objects_in_the_order_in_which_they_are_met(level):
    named_before = 0
    for story, talk in zip(stories(level), talks(level), strict=False):
        assert sorted(talk.order) == list(range(len(story.actors)))
        assert 4 <= len(talk.turns) <= 10
        met: list[int] = []
        for turn in talk.turns:
            check_tags(turn.text, len(turn.regions))
            for found in re.findall(r"<obj(\d+)>", turn.text):
                assert int(found) <= len(met)
                named_before += 1
            met += [p.object_idx for p in turn.regions] + [i for group in turn.targets for i in group]
            met = list(dict.fromkeys(met))
        assert list(talk.order[: len(met)]) == met
    assert named_before > 5


def test_questions_come_back_from_their_json():
    for question in exams(3)[0]:
        back = Question.from_json(question.to_json(), "here")
        assert back.to_json() == question.to_json()
        assert (back.text, back.regions, back.alone) == (question.text, question.regions, question.alone)
    with pytest.raises(DataError, match="line 3"):
        Question.from_json({"family": "click"}, "line 3")


@pytest.mark.parametrize(
    ("text", "group", "found"),
    [
        ("It is a violet one.", "color", ["purple"]),
        ("A light blue ball, not blue", "color", ["cyan", "blue"]),
        ("It has polka dots", "texture", ["dotted"]),
        ("a doughnut-like hoop", "shape", ["ring", "ring"]),
        ("<p> The red stars </p> [SEG]", "shape", ["star"]),
        ("It's tiny", "size", ["small"]),
        ("moves leftwards, then upward", "direction", ["left", "up"]),
        ("reddish, starry", "color", []),
    ],
)
def test_words_are_found_with_their_synonyms(text, group, found):
    assert named(text, group) == found


@pytest.mark.parametrize(
    ("text", "want", "value"),
    [
        ("It is red.", {"rule": "words", "want": {"color": ["red"]}}, 1.0),
        ("It is red or blue.", {"rule": "words", "want": {"color": ["red"]}}, 0.0),
        ("No idea.", {"rule": "words", "want": {"color": ["red"]}}, None),
        ("The red star hits the blue ring.", {"rule": "words", "want": {"color": ["blue"], "shape": ["ring"]}}, 0.0),
        (
            "The red star hits the blue ring.",
            {
                "rule": "words",
                "want": {"color": ["blue"], "shape": ["ring"]},
                "free": {"color": ["red"], "shape": ["star"]},
            },
            1.0,
        ),
        ("It moves left and then up.", {"rule": "sequence", "want": ["left", "up"]}, 1.0),
        ("It moves up and then left.", {"rule": "sequence", "want": ["left", "up"]}, 0.0),
        ("It speeds up to the left.", {"rule": "sequence", "want": ["left"]}, 1.0),
        ("It is stationary.", {"rule": "sequence", "want": []}, 1.0),
        ("Who knows", {"rule": "sequence", "want": []}, None),
        ("Yes, they do.", {"rule": "yes", "want": True}, 1.0),
        ("They don't.", {"rule": "yes", "want": True}, 0.0),
        ("Perhaps", {"rule": "yes", "want": True}, None),
        ("There are 3 stars", {"rule": "number", "want": 3}, 1.0),
        ("None of them", {"rule": "number", "want": 0}, 1.0),
        ("There is one, or two", {"rule": "number", "want": 1}, None),
        ("From 1.0 s to 2.0 s.", {"rule": "interval", "want": [1.0, 2.0]}, 1.0),
        ("between 1.5 and 2.5 seconds", {"rule": "interval", "want": [1.0, 2.0]}, 1 / 3),
        ("0.0-1.0s", {"rule": "interval", "want": [1.5, 2.0]}, 0.0),
        ("at the end", {"rule": "interval", "want": [1.5, 2.0]}, None),
        ("I cannot find it", {"rule": "absent", "want": True}, 1.0),
        ("Here it is", {"rule": "absent", "want": True}, 0.0),
        ("Which one?", {"rule": "ask back", "want": True, "options": ["large", "small"]}, 1.0),
        ("The large one and the small one.", {"rule": "ask back", "want": True, "options": ["large", "small"]}, 1.0),
        ("Sure.", {"rule": "ask back", "want": True, "options": ["large", "small"]}, 0.0),
        ("A blue fish swims", {"rule": "text", "want": ["blue fish"]}, 1.0),
    ],
)
def test_answers_are_judged_by_their_rule(text, want, value):
    assert judge(text, want) == (None if value is None else pytest.approx(value))


def test_unknown_rule_is_our_own_mistake():
    with pytest.raises(ValueError, match="poem"):
        judge("roses", {"rule": "poem", "want": 1})


def test_captions_are_compared_by_the_objects_they_mention():
    true = [{"color": "red", "shape": "star"}, {"color": "blue", "shape": "ring"}, {"color": None, "shape": "fish"}]
    assert caption_facts("A red star passes a blue ring and a fish.", true) == (1.0, 1.0, 1.0)
    precision, recall, f1 = caption_facts("The large red striped star moves. A green ring stays.", true)
    assert (precision, recall) == (0.5, pytest.approx(1 / 3))
    assert f1 == pytest.approx(0.4)
    assert caption_facts("", true) == (0.0, 0.0, 0.0)
    assert caption_facts("It is red. A star moves.", true)[1] == 0.0  # not side by side


def test_small_readers_of_text():
    assert yes_or_no("Yes and no") is True
    assert denies("There isn't any star")
    assert not denies("The nose")
    assert asks_back("Do you mean the red one", [])
    assert interval("at 2.8, from 1.2") == (1.2, 2.8)
    assert interval_overlap("2 to 2", 2, 2) == 1.0
    assert number("12 stars") == 12
    assert word_overlap("a red star", "a red ring") == pytest.approx(2 / 3)
    assert word_overlap("", "") == 0.0


def test_no_spelling_means_two_things():
    for words in VOCABULARY.values():
        spellings = [spelling for each in words.values() for spelling in each]
        assert len(spellings) == len(set(spellings))
