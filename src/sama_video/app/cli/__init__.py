"""The `sama` command: `main.py` finds a command, and loads only its file."""
