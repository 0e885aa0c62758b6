"""Writes rows.parquet as data set hubs do: pip install pyarrow, then run it here."""

import pyarrow as pa
import pyarrow.parquet as pq

rows = [
    {"role": "A", "question": " one", "generated": ["a b c d"], "type": ["script_based"]},
    {"role": "A", "question": "two", "generated": ["yes"], "type": ["own"]},
    {"role": "李白", "question": "问", "generated": ["x", "no"], "type": None},
]
pq.write_table(pa.Table.from_pylist(rows), "rows.parquet")
