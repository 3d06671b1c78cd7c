"""Under which terms each data set may be used, as its publishers state it; nothing here is legal advice.

No data set is bundled. A user who may train on permissive data only picks sources by `Terms.commercial`. Cards and
sites change: they were read once, and are to be read again before anything is trained or passed on.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Terms:
    """What a data set's publisher states.

    Attributes:
        licence: SPDX identifier where there is one, else the statement in short.
        commercial: Whether the statement allows commercial use of all of it; None where that is not said.
        stated: Where that was read.
    """

    licence: str
    commercial: bool | None
    stated: str


_NOTHING: Final = "not stated by their authors; ask them"
_PICTURES: Final = "pictures: the Flickr terms of each"
_SAMA: Final = Terms(
    "annotations: CreativeML-OpenRAIL-M on their card, nothing in their repository; their texts are output of a "
    "commercial model, whose terms apply",
    None,
    "SAMA README, card of SAMA_Dataset on Hugging Face",
)

TERMS: Final[dict[str, Terms]] = {
    "SAMA-239K": _SAMA,
    "SAMA-Bench": _SAMA,
    "sav": Terms("CC-BY-4.0", True, "SAM 2 repository"),
    "mevis": Terms("CC-BY-NC-SA-4.0, non-commercial research only", False, "MeViS README"),
    "revos": Terms("CC-BY-NC-SA-4.0, non-commercial research only", False, "ReVOS README"),
    "lvvis": Terms(f"videos and masks: {_NOTHING}", None, "LV-VIS README"),
    "vidstg": Terms(f"sentences: {_NOTHING}; videos and boxes: VidOR's own terms", None, "VidSTG README"),
    "ref_youtube_vos": Terms(
        "videos and masks: the terms of YouTube-VOS (youtube-vos.org/dataset/term), non-commercial research only; "
        f"expressions: {_NOTHING}",
        False,
        "cards of sets made from YouTube-VOS, which quote its terms",
    ),
    "ref_davis17": Terms(
        f"frames and masks: BSD license, as the DAVIS repository says of DAVIS; expressions: {_NOTHING}",
        None,
        "DAVIS 2017 README",
    ),
    "ref_sav": Terms(f"videos and masks CC-BY-4.0; expressions: {_NOTHING}", None, "SAM 2 and Sa2VA repositories"),
    "refcoco": Terms(
        f"expressions: {_NOTHING}; COCO's masks CC-BY-4.0; {_PICTURES}", None, "refer README, COCO terms of use"
    ),
    "gcg": Terms(
        "annotations: Apache-2.0; pictures: the terms of SA-1B, COCO and Flickr30k",
        None,
        "card of GranD-f on Hugging Face",
    ),
    "llava": Terms(
        "conversations: CC-BY-4.0, and OpenAI's terms, whose model wrote them; pictures: the terms of each project",
        None,
        "card of LLaVA-Instruct-150K on Hugging Face",
    ),
    "chat_univi": Terms(
        f"conversations: Apache-2.0; videos: {_NOTHING}", None, "card of Chat-UniVi-Instruct on Hugging Face"
    ),
    "osprey": Terms(f"annotations: CC-BY-NC-4.0; {_PICTURES}", False, "card of Osprey-724K on Hugging Face"),
    "videorefer_700k": Terms(
        "annotations: Apache-2.0; videos: those of Panda-70M", None, "card of VideoRefer-700K on Hugging Face"
    ),
    "videorefer": Terms(
        "annotations: Apache-2.0; frames: those of Panda-70M, MeViS and DAVIS",
        None,
        "card of VideoRefer-Bench on Hugging Face",
    ),
    "region_caption": Terms(f"annotations: {_NOTHING}; {_PICTURES}", None, "GLaMM repository"),
}
"""Terms of each source, by the name that readers give it."""

PARTS_TERMS: Final[dict[str, Terms]] = {
    "coco": Terms(f"{_PICTURES}; COCO does not own them. Its annotations: CC-BY-4.0", None, "COCO terms of use"),
    "davis": Terms("BSD license, as the DAVIS repository says of DAVIS", None, "DAVIS 2017 README"),
    "flickr30k": Terms(
        "non-commercial research and education only; the Flickr terms of each", False, "Flickr30k Entities README"
    ),
    "sa1b": Terms("SA-1B Dataset Research License, for the pictures are SA-1B's", False, "GLaMM data guide"),
    "llava_pictures": Terms("the terms of each of the five projects", None, "card of LLaVA-Instruct-150K"),
    "panda70m": Terms(
        "no licence is granted without an agreement with Snap; the videos keep the terms of their owners",
        False,
        "Panda-70M project page",
    ),
    "vidor": Terms("VidOR's own; CC-BY-SA-4.0 on the card of shangxd/vidor on Hugging Face", None, "that card"),
    "sa2va": Terms("nothing stated for the bundle; the terms of each set in it apply", None, "Sa2VA-Training card"),
}
"""Terms of what data sets are put together from, where that has a publisher of its own."""


def terms_of(name: str) -> Terms:
    """Terms by the key that `data_sets.yaml` gives."""
    return TERMS[name] if name in TERMS else PARTS_TERMS[name]
