"""Training of a whole model on records: one stage, a standard engine, from one CPU to many machines."""
