"""Adapters by which other evaluation kits run a model of ours; each file is one kit, and imports it only when used."""
