"""A stretch of a Parquet file's rows, in batches of one size, without holding the stretch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def batches_between(
    file: pq.ParquetFile, columns: Sequence[str], first: int, rows: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Yield ``rows`` rows from ``first`` on, all batches but the last of ``batch_rows``.

    Batches do not depend on how the rows lie in row groups. Rows that the file does not have are
    simply not there: whoever counts on them counts.
    """
    waiting: list[pa.RecordBatch] = []
    held = 0
    for piece in _pieces(file, columns, first, first + rows, batch_rows):
        waiting.append(piece)
        held += piece.num_rows
        while held >= batch_rows:
            whole = pa.Table.from_batches(waiting).combine_chunks()
            yield whole.slice(0, batch_rows).to_batches()[0]
            waiting, held = whole.slice(batch_rows).to_batches(), held - batch_rows
    if held:
        yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]


def _pieces(
    file: pq.ParquetFile, columns: Sequence[str], first: int, end: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    start = 0
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if start < end and start + size > first:
            at = start
            for batch in file.iter_batches(
                batch_rows, row_groups=[group], columns=list(columns), use_threads=len(columns) > 1
            ):
                low, high = max(first - at, 0), min(end - at, batch.num_rows)
                if low < high:
                    yield batch.slice(low, high - low)
                at += batch.num_rows
                if at >= end:
                    break
        start += size
