"""Writes the files of this folder with pyarrow (26.0.1), and beside them the records that reading them must give.

Run it in this folder: python3 write.py
"""

import base64
import datetime
import decimal
import json

import pyarrow
import pyarrow.parquet

ROWS = 25
UTC = datetime.timezone.utc

schema = pyarrow.schema([
    ("id", pyarrow.int64()),
    ("small", pyarrow.int8()),
    ("unsigned", pyarrow.uint32()),
    ("price", pyarrow.float64()),
    ("ratio", pyarrow.float32()),
    ("is_new", pyarrow.bool_()),
    ("text", pyarrow.string()),
    ("raw", pyarrow.binary()),
    ("day", pyarrow.date32()),
    ("at", pyarrow.timestamp("ms", tz="UTC")),
    ("cost", pyarrow.decimal128(10, 2)),
    ("tags", pyarrow.list_(pyarrow.string())),
    ("address", pyarrow.struct([("city", pyarrow.string()), ("number", pyarrow.int32())])),
    ("counts", pyarrow.map_(pyarrow.string(), pyarrow.int64())),
])


def row(number):
    return {
        "id": number * 1_000_000_007,
        "small": number - 12,
        "unsigned": 4_000_000_000 + number,
        "price": number / 8,
        "ratio": -number / 4,
        "is_new": number % 2 == 0,
        "text": None if number % 5 == 0 else f'line {number} "\u00e4"\n',
        "raw": bytes([number, 255]),
        "day": datetime.date(2024, 2, 1) + datetime.timedelta(days=number),
        "at": datetime.datetime(2024, 2, 1, 12, 0, number, 250_000, tzinfo=UTC),
        "cost": decimal.Decimal(number * 101) / 100,
        "tags": [f"t{tag}" for tag in range(number % 4)],
        "address": None if number % 7 == 0 else {"city": f"c{number}", "number": number},
        "counts": {"a": number, "b": number + 1} if number % 3 else {},
    }


def as_json(values):
    def of(name, value):
        if name == "raw":
            return base64.b64encode(value).decode()
        if name == "day":
            return value.isoformat()
        if name == "at":
            return value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " +00:00"
        if name == "cost":
            return f"{value:.2f}"
        return value

    return {name: of(name, value) for name, value in values.items()}


rows = [row(number) for number in range(ROWS)]
table = pyarrow.Table.from_pylist(rows, schema=schema)
for name, codec in [
    ("snappy", "snappy"), ("gzip", "gzip"), ("lz4", "lz4"), ("plain", "none"), ("brotli", "brotli"), ("zstd", "zstd"),
]:
    # Several groups of rows, and pages without and with a dictionary.
    pyarrow.parquet.write_table(
        table, f"{name}.parquet", compression=codec, row_group_size=10, use_dictionary=name != "plain",
        data_page_version="2.0" if name == "gzip" else "1.0",
    )
with open("rows.jsonl", "w", encoding="utf-8") as out:
    for values in rows:
        out.write(json.dumps(as_json(values), ensure_ascii=False) + "\n")
