"""Examples to learn from: records on disk and a synthetic world, as values that know nothing of the model."""

from sama_video.data.records import DialogueRecord, read_records, record_from_synthetic, write_records

__all__ = ["DialogueRecord", "read_records", "record_from_synthetic", "write_records"]
