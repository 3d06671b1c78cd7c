"""overlap-1: a judge without a language model, the same on every machine; and how far it agrees with another.

It compares what two texts speak of, not how they say it. Words are taken in their base form and sorted into

    attributes   colours, sizes, materials, numbers, places and the like, from a fixed list
    actions      verbs of a fixed list, and other words of five letters or more that end in -ing
    entities     every other word that carries meaning

For each kind, F = 2 |r ∩ p| / (|r| + |p|) of the set r of the reference and p of the prediction. The score is the mean
of F over the kinds that occur in either, with weight 2 for entities and 1 for the other two. Two texts without any such
word score 1 when they have the same words, else 0.

It knows no synonyms and no grammar: "a man bites a dog" and "a dog bites a man" are the same to it. So its figures
stand for themselves; publish `agreement` with a judge's stored replies before relying on it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from sama_video.errors import DataError, MissingExtraError

NAME: Final = "overlap-1"
DIMENSION: Final = "overlap"

KINDS: Final = ("entities", "attributes", "actions")
_WEIGHTS: Final = {"entities": 2.0, "attributes": 1.0, "actions": 1.0}
_FEWEST_PAIRS: Final = 2

_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s\b")

_EMPTY_WORDS = """
    a an the this that these those there here it its he his him she her hers they their them theirs we our us you
    your i my me who whom whose which what when where while whereas as if then than so and or but nor not no yes
    also too very just only both each every any some such same other another of in on at by to from with
    without into onto over under through across along around about after before during until toward towards within
    against between among off out is are was were be been being am has have had having do does did doing
    will would can could may might must shall should seem seems appear appears become becomes get gets video image
    picture frame frames scene clip shot camera view region object description
"""

_ATTRIBUTES = """
    red orange yellow green blue purple violet pink brown black white grey gray beige gold golden silver navy teal
    cyan magenta crimson maroon turquoise tan dark light bright pale colourful colorful striped spotted dotted plain
    patterned checkered transparent shiny glossy matte big large huge giant small tiny little tall short long wide
    narrow thick thin heavy high low round square rectangular triangular circular oval flat curved straight pointed
    wooden metal metallic plastic leather glass stone concrete cotton woollen woolen wool denim paper rubber brick
    young old new elderly adult male female up down fast quick slow slowly quickly sudden suddenly gently rapidly left
    right
    upper lower top bottom front back middle centre center central background foreground distant near nearby far
    close closer inside outside indoor indoors outdoor outdoors wet dry dirty clean fluffy furry hairy bald curly
    smooth rough soft hard empty full open closed broken happy sad calm still motionless zero one two three four
    five six seven eight nine ten several many few first second third last single double half whole
"""

_ACTIONS = """
    walk run sit stand jump hold carry ride drive eat drink play look watch turn move go come lie sleep rest fly
    swim dive climb fall throw catch kick hit push pull lift drop wear point wave talk speak sing dance smile laugh
    cry shout read write cook cut wash clean brush feed pet touch grab take give put place pick follow chase lead
    pass cross enter leave approach stop start begin continue stay remain rotate spin roll slide swing shake bounce
    float crawl bend lean kneel squat stretch face open close show raise lower reach bite chew lick sniff bark graze
    hop skip skate ski surf paddle row fight hug kiss appear disappear vanish shrink grow cover hide exit accelerate
    brake overtake
"""

_THINGS_IN_ING = """
    thing something nothing everything anything string spring building ceiling clothing morning evening wedding
    painting railing
"""

_IRREGULAR: Final = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "geese": "goose", "ran": "run", "sat": "sit", "stood": "stand", "went": "go", "goes": "go",
    "gone": "go", "held": "hold", "lying": "lie", "ate": "eat", "eaten": "eat", "swam": "swim", "flew": "fly",
    "flown": "fly", "wore": "wear", "worn": "wear", "rode": "ride", "ridden": "ride", "threw": "throw",
    "thrown": "throw", "caught": "catch", "took": "take", "taken": "take", "came": "come", "fell": "fall",
    "fallen": "fall", "drove": "drive", "driven": "drive", "drank": "drink", "drunk": "drink", "grey": "gray",
}  # fmt: skip


_EMPTY: Final = frozenset(_EMPTY_WORDS.split())
_ATTRIBUTE: Final = frozenset(_ATTRIBUTES.split())
_ACTION: Final = frozenset(_ACTIONS.split())
_THING: Final = frozenset(_THINGS_IN_ING.split())


@dataclass(frozen=True)
class Content:
    """What a text speaks of."""

    entities: frozenset[str]
    attributes: frozenset[str]
    actions: frozenset[str]


@dataclass(frozen=True)
class Agreement:
    """How far two judges rank the same answers alike.

    Attributes:
        tau: Kendall's tau-b, from -1 to 1; None where one judge gives all answers the same score.
        low, high: 95 % interval over resampled answers.
        count: Answers that both have scored.
    """

    tau: float | None
    low: float | None
    high: float | None
    count: int


def overlap_score(reference: str, prediction: str) -> float:
    """How much of what two texts speak of they share, from 0 to 1.

    >>> overlap_score("A black dog runs.", "The black dog is running fast.")
    0.9166666666666666
    """
    a, b = content_of(reference), content_of(prediction)
    total = weights = 0.0
    for kind in KINDS:
        first, second = getattr(a, kind), getattr(b, kind)
        if first or second:
            total += _WEIGHTS[kind] * 2 * len(first & second) / (len(first) + len(second))
            weights += _WEIGHTS[kind]
    return total / weights if weights else float(_words(reference) == _words(prediction))


def content_of(text: str) -> Content:
    """The words of a text that carry meaning, in their base form, by kind.

    >>> content_of("Two men are walking.")
    Content(entities=frozenset({'man'}), attributes=frozenset({'two'}), actions=frozenset({'walk'}))
    """
    kinds: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for word in _words(text):
        if word not in _EMPTY:
            base = _base(word)
            kinds[_kind(word, base)].add(base)
    return Content(*(frozenset(kinds[kind]) for kind in KINDS))


def agreement(
    stored: Mapping[str, float], offline: Mapping[str, float], *, resamples: int = 2000, seed: int = 0
) -> Agreement:
    """Kendall's tau-b between two judges' scores of the same answers, with a bootstrap interval over the answers.

    Args:
        stored: Scores by sample id; answers that only one of the two has scored are left out.

    Raises:
        DataError: They have fewer than two answers in common.
    """
    try:
        import scipy.stats  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("scipy", "bench") from error
    shared = sorted(stored.keys() & offline.keys())
    if len(shared) < _FEWEST_PAIRS:
        raise DataError(
            f"the two judges have {len(shared)} scored answers in common; judge at least {_FEWEST_PAIRS} of the same."
        )
    pairs = np.array([[stored[name], offline[name]] for name in shared], dtype=np.float64)
    tau = _tau_b(pairs)
    rng = np.random.default_rng(seed)
    drawn = [found for _ in range(resamples) if (found := _tau_b(pairs[_draw(rng, len(shared))])) is not None]
    if tau is None or not drawn:
        return Agreement(tau, None, None, len(shared))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Agreement(tau, float(low), float(high), len(shared))


def _tau_b(pairs: Float[np.ndarray, "answers 2"]) -> float | None:
    """Tau-b; None where one side is the same for all, so that there is no order to compare."""
    from scipy.stats import kendalltau

    if any(np.ptp(column) == 0 for column in pairs.T):
        return None
    return float(kendalltau(pairs[:, 0], pairs[:, 1], variant="b").statistic)


def _draw(rng: np.random.Generator, count: int) -> Int[np.ndarray, " answers"]:
    return rng.integers(0, count, count)


def _words(text: str) -> Sequence[str]:
    return _WORD.findall(_POSSESSIVE.sub("", text.lower()))


def _kind(word: str, base: str) -> str:
    """Which kind a word belongs to; attributes first, as "left" and "open" mostly say how or where."""
    if word in _ATTRIBUTE or base in _ATTRIBUTE:
        return "attributes"
    doing = word.endswith("ing") and len(word) >= 5 and word not in _THING
    return "actions" if base in _ACTION or doing else "entities"


def _base(word: str) -> str:
    """A word without its ending; of verbs, whichever form is in the list of actions."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _ATTRIBUTE or word in _ACTION:
        return word
    for ending in ("ing", "ed", "es", "s"):
        stem = word.removesuffix(ending)
        if stem != word:
            undoubled = stem[:-1] if stem[-1:] == stem[-2:-1] else stem
            found = next((form for form in (stem, f"{stem}e", undoubled, f"{stem[:-1]}y") if form in _ACTION), None)
            if found is not None:
                return found
    return _singular(word)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word
