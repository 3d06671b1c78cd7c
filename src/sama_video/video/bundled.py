"""The clip that comes with the package."""

from pathlib import Path

DEMO = "demo"
"""How callers name it where a video is expected."""

DEMO_CLIP = Path(__file__).parent / "assets" / "demo.mp4"
