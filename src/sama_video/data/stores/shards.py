"""The Parquet and WebDataset shards of a folder, opened one after the other, so that a damaged one hides no other."""

from collections.abc import Iterator
from pathlib import Path

from sama_video.data.findings import FaultError, Findings, Place
from sama_video.data.stores.parquet import ParquetStore, shard_files
from sama_video.data.stores.tar import TarStore, tar_files
from sama_video.errors import DataError


def open_shards(folder: Path, findings: Findings) -> Iterator[ParquetStore | TarStore]:
    """A store for each shard that can be read; the findings count the others, and shards that are missing.

    Raises:
        FaultError: The findings are strict, and there is a fault.
        MissingExtraError: There is a Parquet shard, and no pyarrow.
    """
    try:
        parquet = shard_files(folder)
    except DataError as error:
        findings.take(Place(str(folder)).fault("missing_file", str(error)))
        parquet = sorted(folder.glob("*.parquet"))
    for file in (*parquet, *tar_files(folder)):
        try:
            yield ParquetStore([file]) if file.suffix == ".parquet" else TarStore([file], findings)
        except FaultError as error:
            findings.take(error)
        except DataError as error:
            findings.take(Place(str(file)).fault("schema_error", str(error)))
