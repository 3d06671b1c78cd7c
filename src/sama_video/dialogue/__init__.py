"""What is said: turns and dialogues as values, and the markup in which a model reads and writes them."""

from sama_video.dialogue.turns import Dialogue, Phrase, RegionPrompt, Timing, Turn

__all__ = ["Dialogue", "Phrase", "RegionPrompt", "Timing", "Turn"]
