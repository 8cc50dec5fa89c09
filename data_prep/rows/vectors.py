"""The candidates beside their embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.errors import InputError


def read_with_vectors(candidates: Path, embeddings: Path, ids: Path) -> tuple[pa.Table, np.ndarray]:
    """The candidates and their vectors (N, D), in the same order; InputError where they do not belong together."""
    table = pq.ParquetFile(candidates).read()  # read_table would import the dataset API and pandas
    vectors = np.load(embeddings, mmap_mode="r", allow_pickle=False)
    if not pq.ParquetFile(ids).read()["id"].equals(table["id"]) or len(vectors) != table.num_rows:
        raise InputError(f"{embeddings}: made from other candidates than {candidates}; run the stage embed again")
    return table, np.ascontiguousarray(vectors)
