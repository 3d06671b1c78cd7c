"""Under which terms each data set may be used, as its publishers state it; nothing here is legal advice.

No data set is bundled. A user who may train on permissive data only picks sources by `Terms.commercial`.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Terms:
    """What a data set's publisher states.

    Attributes:
        licence: SPDX identifier where there is one, else the statement in short.
        commercial: Whether the statement allows commercial use; None where nothing is stated.
        stated: Where that was read.
    """

    licence: str
    commercial: bool | None
    stated: str


_NOTHING: Final = "no licence stated"

TERMS: Final[dict[str, Terms]] = {
    "SAMA-239K": Terms(f"annotations: {_NOTHING}; texts are output of a commercial model", None, "SAMA README"),
    "SAMA-Bench": Terms(f"annotations: {_NOTHING}; texts are output of a commercial model", None, "SAMA README"),
    "sav": Terms("CC-BY-4.0", True, "SAM 2 repository"),
    "mevis": Terms("CC-BY-NC-SA-4.0, non-commercial research only", False, "MeViS README"),
    "revos": Terms("CC-BY-NC-SA-4.0, non-commercial research only", False, "ReVOS README"),
    "lvvis": Terms(_NOTHING, None, "LV-VIS README"),
    "vidstg": Terms(f"{_NOTHING}; its videos come from VidOR, which has terms of its own", None, "VidSTG README"),
    "ref_youtube_vos": Terms(_NOTHING, None, "SAMA and Sa2VA repositories"),
    "ref_davis17": Terms(_NOTHING, None, "SAMA and Sa2VA repositories"),
    "ref_sav": Terms(f"videos and masks CC-BY-4.0; expressions: {_NOTHING}", None, "SAM 2 and Sa2VA repositories"),
    "refcoco": Terms(_NOTHING, None, "SAMA and Sa2VA repositories"),
    "gcg": Terms(_NOTHING, None, "SAMA and Sa2VA repositories"),
    "llava": Terms(f"{_NOTHING}; the terms of each picture's own project apply", None, "SAMA and Sa2VA repositories"),
    "chat_univi": Terms(_NOTHING, None, "SAMA and Sa2VA repositories"),
    "osprey": Terms(_NOTHING, None, "SAMA and Sa2VA repositories"),
    "videorefer_700k": Terms(_NOTHING, None, "VideoRefer README"),
}
"""Terms of each source, by the name that readers give it."""
