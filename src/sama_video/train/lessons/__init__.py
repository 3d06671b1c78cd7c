"""What the nano is shown and told: scenes of both worlds, prompts on them, dialogues about them, its words."""
