"""An honest endpoint for trying the pipeline without a network: it answers from what is true of a synthetic clip.

On request it plants mistakes and remembers where, so that finding them can be measured. Nothing here is shared with
the checks.
"""

from sama_video.annotate.scripted.endpoint import Planted, ScriptedTransport, Slips
from sama_video.annotate.scripted.mistakes import HIDDEN_KINDS, KINDS
from sama_video.annotate.scripted.truth import TrueClip, TrueThing, truth_of

__all__ = [
    "HIDDEN_KINDS",
    "KINDS",
    "Planted",
    "ScriptedTransport",
    "Slips",
    "TrueClip",
    "TrueThing",
    "truth_of",
]
