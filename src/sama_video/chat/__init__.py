"""Talking about one clip: sessions, answers, and the loading of models for them."""
