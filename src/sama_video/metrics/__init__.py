"""How good: scores as pure functions of arrays, one copy of each for all rooms."""
