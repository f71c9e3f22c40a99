#!/usr/bin/env python3
"""Turn a data set as its package ships it into one table (.dtbl) that the study trains on.

Every set is treated alike, and nothing is chosen by looking at held-out rows:
  split       the rows shuffled by SplitMix64 of seed 20260; the first four fifths train, the rest are held out:
              the rule of sim/data/dataset.hpp, so that digits are split as in make sim
  numbers     minus the mean, over the standard deviation, both of the training rows; columns that are constant
              there are dropped; a missing value becomes 0, and such a column gets a second one that says so
  categories  one column of 0 and 1 for a factor of two levels, one for each level otherwise; missing is a level
  pixels      pixel / 256
  identities  numbered in the order of their levels, for an embedding table; kept apart from the numbers
  features    rounded to bf16 (nearest, ties to even) at the end: all numeric modes see the same inputs, and
              in bf16 and fp32 no rounding happens before the first multiply

The file, little-endian: "DTBL", u32 version (1), rows, training rows, features, identity columns, embedding
tables, classes, length of the name; the name; u32 sizes [tables]; u32 table [identity columns]; u16 bf16
features [rows][features]; u32 identities [rows][columns]; u32 labels [rows]; u32 CRC-32 of all before it.
Training rows come first. Reader: sim/data/table.hpp. Test: scripts/study_data_test.py
"""
import argparse
import array
import csv
import gzip
import math
import pathlib
import struct
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import rdata  # noqa: E402

SPLIT_SEED = 20260
MASK = (1 << 64) - 1


class TableError(Exception):
    """Data that make no table; the text says which and why."""


# ------------------------------------------------------------------------------------------ pieces
def split_mix(seed):
    """The generator of sim/data/random.hpp."""
    state = seed & MASK
    while True:
        state = (state + 0x9e3779b97f4a7c15) & MASK
        z = state
        z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ z >> 27) * 0x94d049bb133111eb) & MASK
        yield z ^ z >> 31


def shuffled(count, seed=SPLIT_SEED):
    """0..count-1 in the order of SplitMix64::Shuffle."""
    order, random = list(range(count)), split_mix(seed)
    for left in range(count, 1, -1):
        other = ((next(random) >> 32) * left) >> 32
        order[left - 1], order[other] = order[other], order[left - 1]
    return order


def train_rows(count):
    return count * 4 // 5


def to_bf16(value):
    """The bf16 word of a finite number: rounded to fp32, then to bf16, each to nearest even."""
    try:
        word = struct.unpack("<I", struct.pack("<f", value))[0]
    except OverflowError:
        raise TableError(f"a feature of {value}, beyond fp32") from None
    if word & 0x7f800000 == 0x7f800000:
        raise TableError(f"a feature that is no finite number ({value})")
    return (word + 0x7fff + (word >> 16 & 1)) >> 16


def standardised(values, train, name="column"):
    """Feature columns of a numeric column: [] when it is constant on the training rows."""
    known = [values[r] for r in train if values[r] is not None]
    if any(isinstance(v, str) for v in known):
        raise TableError(f"{name}: text where a number belongs")
    missing = len(known) < len(train)
    out = []
    if known:
        mean = math.fsum(known) / len(known)
        deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in known) / len(known))
        if deviation > 0:
            out.append([0.0 if v is None else (v - mean) / deviation for v in values])
    if missing:
        out.append([1.0 if v is None else 0.0 for v in values])
    return out


def one_hot(values, levels):
    """Feature columns of a categorical column; a missing value is a level of its own if there is one."""
    levels = list(levels) + ([None] if None in values else [])
    if len(levels) == 2:
        return [[1.0 if v == levels[1] else 0.0 for v in values]]
    return [[1.0 if v == level else 0.0 for v in values] for level in levels] if len(levels) > 2 else []


def numbered(values, levels, name):
    index = {level: i for i, level in enumerate(levels)}
    try:
        return [index[v] for v in values]
    except KeyError as error:
        raise TableError(f"{name}: the value {error} is none of its levels") from None


class Table:
    """Rows in the source's order, until write() puts the training rows first."""

    def __init__(self, name, rows, order=None):
        self.name, self.rows = name, rows
        self.order = shuffled(rows) if order is None else order
        self.train = self.order[:train_rows(rows)]
        self.features, self.identities, self.sizes, self.tables = [], [], [], []
        self.labels, self.classes = [], 0

    def number(self, values, name="column"):
        self.features += standardised(values, self.train, name)

    def category(self, values, levels):
        self.features += one_hot(values, levels)

    def identity(self, values, levels, name="column", table=None):
        """A column of its own table, or of that of an earlier column (by its index)."""
        if table is None:
            table = len(self.sizes)
            self.sizes.append(len(levels))
        self.identities.append(numbered(values, levels, name))
        self.tables.append(table)

    def label(self, values, levels, name="label"):
        self.labels, self.classes = numbered(values, levels, name), len(levels)

    def words(self):
        """bf16 features, row after row."""
        columns = []
        for column in self.features:
            known = {}
            columns.append([known[v] if v in known else known.setdefault(v, to_bf16(v)) for v in column])
        out = array.array("H")
        for row in self.order:
            out.extend([column[row] for column in columns])
        return out, len(columns)

    def encode(self):
        if self.rows < 10 or len(self.labels) != self.rows or self.classes < 2:
            raise TableError(f"{self.name}: {self.rows} rows of {self.classes} classes make no data set")
        words, features = self.words()
        if not features and not self.identities:
            raise TableError(f"{self.name}: no column is left to learn from")
        ids, labels = array.array("I"), array.array("I", (self.labels[r] for r in self.order))
        for row in self.order:
            ids.extend([column[row] for column in self.identities])
        if sys.byteorder == "big":
            for part in (words, ids, labels):
                part.byteswap()
        name = self.name.encode()
        data = struct.pack("<4s8I", b"DTBL", 1, self.rows, train_rows(self.rows), features,
                           len(self.identities), len(self.sizes), self.classes, len(name)) + name
        data += struct.pack(f"<{len(self.sizes)}I", *self.sizes) + struct.pack(f"<{len(self.tables)}I", *self.tables)
        data += words.tobytes() + ids.tobytes() + labels.tobytes()
        return data + struct.pack("<I", zlib.crc32(data))


class Pictures(Table):
    """Features are bytes: each becomes pixel / 256, which is a bf16 number."""

    def __init__(self, name, rows, pixels):
        super().__init__(name, rows)
        self.pixels = pixels

    def words(self):
        width = len(self.pixels) // self.rows
        table = [to_bf16(byte / 256) for byte in range(256)]
        plain = b"".join(self.pixels[width * r:width * (r + 1)] for r in self.order)
        both = bytearray(2 * len(plain))
        both[0::2] = plain.translate(bytes(word & 255 for word in table))
        both[1::2] = plain.translate(bytes(word >> 8 for word in table))
        words = array.array("H", bytes(both))
        if sys.byteorder == "big":
            words.byteswap()
        return words, width


# ----------------------------------------------------------------------------------------- sources
def frame_of(path, name):
    objects = rdata.load(path)
    if name not in objects:
        raise TableError(f"{path}: no object {name}; it has {', '.join(objects)}")
    frame = objects[name]
    return frame, rdata.columns(frame, name)


def levels_of(frame, column):
    """A factor's levels, or None for what is no factor."""
    value = frame[column].attributes.get("levels")
    return value.data if value else None


def from_frame(name, path, object_name, label, skip=()):
    """A data frame: factors are categories, the rest numbers."""
    frame, columns = frame_of(path, object_name)
    table = Table(name, len(columns[label]))
    for key, values in columns.items():
        levels = levels_of(frame, key)
        if key == label or key in skip:
            continue
        if levels is None:
            table.number(values, key)
        else:
            table.category(values, levels)
    table.label(columns[label], levels_of(frame, label) or sorted(set(columns[label])), label)
    return table


def ratings(name, path):
    """lme4's InstEval: does the student rate the lecture 4 or 5 of 5? Student, lecturer and department are
    identities; the years since the lecture was heard and of the student are ordered factors, so numbers."""
    frame, columns = frame_of(path, "InstEval")
    table = Table(name, len(columns["y"]))
    for key in ("s", "d", "dept"):
        table.identity(columns[key], levels_of(frame, key), key)
    for key in ("studage", "lectage"):
        table.number([int(v) for v in columns[key]], key)
    table.category(columns["service"], levels_of(frame, "service"))
    table.label([int(v >= 4) for v in columns["y"]], [0, 1])
    return table


def pictures(name, folder):
    folder = pathlib.Path(folder)
    images, labels = (folder / "images.idx3").read_bytes(), (folder / "labels.idx1").read_bytes()
    if images[:4] != b"\0\0\x08\x03" or labels[:4] != b"\0\0\x08\x01":
        raise TableError(f"{folder}: images.idx3 and labels.idx1 are no pair of IDX files")
    count, height, width = struct.unpack(">III", images[4:16])
    if len(images) != 16 + count * height * width or len(labels) != 8 + count:
        raise TableError(f"{folder}: {len(images)} and {len(labels)} bytes don't fit {count} pictures")
    table = Pictures(name, count, images[16:])
    table.label(labels[8:], range(10))
    return table


def shuttle(name, path):
    return from_frame(name, path, "Shuttle", "Class")


def credit(name, path):
    return from_frame(name, path, "credit_data", "Status")


def vowel(name, path):
    return from_frame(name, path, "Vowel", "Class", skip=("V1",))  # V1 is the speaker


def dna(name, path):
    return from_frame(name, path, "DNA", "Class")


def letters(name, path):
    return from_frame(name, path, "LetterRecognition", "lettr")


def spam(name, path):
    return from_frame(name, path, "spam", "type")


# ------------------------------------------------------------------------ files of a user's own
def read_text(path):
    data = pathlib.Path(path).read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "replace")


def is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def csv_file(name, path, label=None):
    """Any CSV: a first line without a number is the header; the last column is the label unless label names
    another. A column of numbers is a number, any other a category; an empty field is missing."""
    lines = [line for line in csv.reader(read_text(path).splitlines()) if line]
    if len(lines) < 2:
        raise TableError(f"{path}: no rows")
    header = lines.pop(0) if not any(is_number(field) for field in lines[0]) else \
        [f"column {i + 1}" for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        if len(line) != len(header):
            raise TableError(f"{path}: row {number + 1} has {len(line)} fields, the first line {len(header)}")
    label = header[-1] if label is None else label
    if label not in header:
        raise TableError(f"{path}: no column {label}; it has {', '.join(header)}")
    table = Table(name, len(lines))
    for index, key in enumerate(header):
        values = [line[index].strip() or None for line in lines]
        if key == label:
            if None in values:
                raise TableError(f"{path}: row {values.index(None) + 1} has no {label}")
            table.label(values, sorted(set(values)), label)
        elif key == "" and index == 0:
            continue  # a running number without a name, as pandas writes it
        elif all(v is None or is_number(v) for v in values):
            table.number([None if v is None else float(v) for v in values], key)
        else:
            levels = sorted({v for v in values if v is not None})
            if len(levels) > 1000:
                raise TableError(f"{path}: column {key} has {len(levels)} different texts; that is no category")
            table.category(values, levels)
    return table


def visits(name, path, context=4):
    """user,item in the order of visits: the items before (up to four, one table; the last index stands for none)
    predict a user's last one. Users of one item are left out."""
    lines = [line.split(",") for line in read_text(path).split()[1:]]
    users = {}
    for user, item in lines:
        users.setdefault(user, []).append(int(item))
    lists = [items for items in users.values() if len(items) > 1]
    count = max(max(items) for items in lists) + 1
    table = Table(name, len(lists))
    for back in range(context):
        values = [items[-2 - back] if len(items) > back + 1 else count for items in lists]
        table.identity(values, range(count + 1), "item", None if back == 0 else 0)
    table.label([items[-1] for items in lists], range(count))
    return table


def text(name, path, context=8, rows=50000):
    """The next character from the eight before it, one embedding table; the last fifth of the text is held out."""
    data = read_text(path)
    alphabet = sorted(set(data))
    places = [context + i * (len(data) - context) // rows for i in range(min(rows, len(data) - context))]
    middle = train_rows(len(places))
    order = [i for i in shuffled(len(places)) if i < middle] + list(range(middle, len(places)))
    table = Table(name, len(places), order)
    for back in range(context):
        table.identity([data[p - 1 - back] for p in places], alphabet, "character", None if back == 0 else 0)
    table.label([data[p] for p in places], alphabet)
    return table


def keywords(name, path):
    """49 x 10 int8 MFCC of a thousand words; labels in the CSV file beside it."""
    path = pathlib.Path(path)
    data = array.array("b", path.read_bytes())
    lines = list(csv.DictReader(read_text(next(path.parent.glob("*labels.csv"))).splitlines()))
    width = len(data) // len(lines)
    if width * len(lines) != len(data):
        raise TableError(f"{path}: {len(data)} bytes don't fit {len(lines)} labels")
    table = Table(name, len(lines))
    for i in range(width):
        table.number([float(v) for v in data[i::width]])
    table.label([int(line["label"]) for line in lines], range(12))
    return table


def own_file(name, path, label=None):
    """A table from a file that the user names; what it is shows in its name."""
    base = pathlib.Path(path).name.lower()
    if "visits" in base:
        return visits(name, path)
    if base.endswith(".bin"):
        return keywords(name, path)
    if base.endswith(".txt"):
        return text(name, path)
    if base.endswith((".csv", ".csv.gz")):
        return csv_file(name, path, label)
    raise TableError(f"{path}: what is it? known are .csv (.gz), .txt, *visits*.csv and .bin with *labels.csv beside it")


SOURCES = {"digits": pictures, "fashion": pictures, "credit": credit, "shuttle": shuttle, "ratings": ratings,
           "vowel": vowel, "dna": dna, "letters": letters, "spam": spam}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=f"of the data set: {', '.join(SOURCES)}; any other name with --own")
    parser.add_argument("source", help="the package's file (.rda, .rdb), or a folder with an IDX pair")
    parser.add_argument("out", type=pathlib.Path, help="the table to write")
    parser.add_argument("--own", action="store_true",
                        help="source is a file of one's own: .csv, .csv.gz, .txt, *visits*.csv, .bin with *labels.csv")
    parser.add_argument("--label", help="column to predict of a CSV file (the last)")
    args = parser.parse_args()
    if not args.own and args.name not in SOURCES:
        parser.error(f"{args.name} is none of {', '.join(SOURCES)} (a file of one's own needs --own)")
    try:
        table = own_file(args.name, args.source, args.label) if args.own else SOURCES[args.name](args.name, args.source)
        data = table.encode()
        scratch = args.out.with_name(args.out.name + ".new")
        scratch.write_bytes(data)
        scratch.replace(args.out)
    except (TableError, rdata.RDataError) as error:
        sys.exit(f"to_table.py: {error}")
    except OSError as error:
        sys.exit(f"to_table.py: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
