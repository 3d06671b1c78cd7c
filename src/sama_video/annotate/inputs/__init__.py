"""What is to be annotated, from records, annotations of other tools, clips with prompts, or drawn clips."""
