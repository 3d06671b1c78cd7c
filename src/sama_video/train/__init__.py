"""Training: recipes in, weights out; see `config`, `stages`, `engine`, `export` and `evaluate`."""
