"""SAMA's ablation, small: the same training with one part taken away, several times, compared pair by pair."""
