"""What people decide about samples: the pages they look at, their decisions, and how far they agree."""
