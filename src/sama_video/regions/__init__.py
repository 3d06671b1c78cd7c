"""Where things are: points, boxes, masks and masklets, their run lengths, and how they are drawn."""

from sama_video.regions.masklet import Masklet
from sama_video.regions.rle import Rle
from sama_video.regions.shapes import (
    Box,
    Mask,
    ObjectRef,
    Points,
    Region,
    at_frame,
    check_region,
    region_from_json,
    region_to_json,
)

__all__ = [
    "Box",
    "Mask",
    "Masklet",
    "ObjectRef",
    "Points",
    "Region",
    "Rle",
    "at_frame",
    "check_region",
    "region_from_json",
    "region_to_json",
]
