#!/usr/bin/env python3
"""Read R's data files without R: .rda and .RData (save), .rds (saveRDS), .rdb with .rdx (lazy data).

What is read: R's serialisation in its XDR form, versions 2 and 3, plain or packed by gzip, bzip2 or xz, of
everything data are made of: vectors, lists, strings, factors, attributes, environments, S4 objects, and the
compact vectors (ALTREP) of R 3.5 and later. What is not: functions and byte code, and R's ASCII and native
forms; they are refused by name.

An object becomes a Value: kind, data (a list; numbers as int or float, strings as str, missing as None),
attributes (a dict). columns() makes a dict of lists out of a data frame, factors as their levels' names.

As a command: rdata.py FILE lists what a file holds, rdata.py FILE NAME prints a data frame as CSV.
Test: scripts/study_data_test.py
"""
import argparse
import array
import bz2
import csv
import dataclasses
import gzip
import lzma
import math
import pathlib
import struct
import sys
import zlib


class RDataError(Exception):
    """A file that is damaged, or holds what this reader does not read; the text says where and what."""


@dataclasses.dataclass
class Value:
    kind: str
    data: object = None
    attributes: dict = dataclasses.field(default_factory=dict)

    @property
    def names(self):
        """Names of a list's or vector's elements, or None."""
        value = self.attributes.get("names")
        return value.data if value else None

    @property
    def classes(self):
        value = self.attributes.get("class")
        return value.data if value else []

    def __getitem__(self, name):
        """The element of that name."""
        if self.names is None or name not in self.names:
            raise KeyError(name)
        return self.data[self.names.index(name)]


NULL = Value("null", [])
NA_INT = -(1 << 31)
NA_REAL = b"\x7f\xf0\x00\x00\x00\x00\x07\xa2"  # a NaN with R's payload 1954; signalling or quiet

# Codes of R's serialize.c that stand for a whole object.
SINGLE = {254: "null", 253: "global environment", 252: "unbound", 251: "missing", 242: "empty environment",
          241: "base environment", 247: "persistent", 248: "class", 246: "end", 245: "base namespace"}
REFUSED = {3: "function", 5: "promise", 7: "special function", 8: "built-in function", 21: "byte code",
           22: "external pointer", 23: "weak reference", 17: "dots", 243: "byte code", 244: "byte code"}
REFERENCE, NAMESPACE, PACKAGE, PERSIST, ALTREP, ATTR_PAIR, ATTR_LANG = 255, 249, 250, 247, 238, 239, 240


def unpack(data, name):
    """The bytes inside gzip, bzip2 or xz; as they are where there is none of these."""
    try:
        if data[:2] == b"\x1f\x8b":
            return gzip.decompress(data)
        if data[:3] == b"BZh":
            return bz2.decompress(data)
        if data[:6] == b"\xfd7zXZ\x00":
            return lzma.decompress(data)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise RDataError(f"{name}: packed data are damaged or cut: {error}") from None
    return data


class Reader:
    """One serialised object, from the byte after its file's magic."""

    def __init__(self, data, name, start=0):
        self.data, self.name, self.at, self.references = data, name, start, []
        self.version = 2

    def fail(self, text):
        raise RDataError(f"{self.name}: byte {self.at}: {text}")

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            self.fail(f"{count} bytes wanted, {len(self.data) - self.at} left: the file is cut or damaged")
        self.at += count
        return self.data[self.at - count:self.at]

    def int(self):
        return struct.unpack(">i", self.take(4))[0]

    def length(self):
        count = self.int()
        if count == -1:  # a long vector: upper and lower half
            high, low = struct.unpack(">II", self.take(8))
            count = high << 32 | low
        if count < 0:
            self.fail(f"a length of {count}")
        return count

    def ints(self, count):
        values = array.array("i", self.take(4 * count))
        if sys.byteorder == "little":
            values.byteswap()
        return [None if v == NA_INT else v for v in values]

    def reals(self, count):
        raw = self.take(8 * count)
        values = array.array("d", raw)
        if sys.byteorder == "little":
            values.byteswap()
        out = values.tolist()
        for i, value in enumerate(out):
            if value != value and raw[8 * i + 4:8 * i + 8] == NA_REAL[4:]:
                out[i] = None
        return out

    def document(self):
        """The header and the object behind it; nothing may follow."""
        form = self.take(2)
        if form != b"X\n":
            kind = {b"A\n": "ASCII", b"B\n": "native binary"}.get(bytes(form))
            self.fail(f"the {kind} form of serialisation is not read, only XDR" if kind else
                      f"not R's serialisation (it starts with {bytes(form)!r})")
        self.version, _, _ = self.int(), self.int(), self.int()
        if self.version not in (2, 3):
            self.fail(f"serialisation version {self.version}; 2 and 3 are read")
        if self.version == 3:
            self.take(self.int())  # name of the native encoding
        value = self.item()
        if self.at != len(self.data):
            self.fail(f"{len(self.data) - self.at} bytes behind the end of the object")
        return value

    def pairs(self, flags):
        """A pairlist, iteratively: R makes them as long as it likes. Returns (tag, value) pairs."""
        out = []
        while True:
            if flags & 0x200:
                self.attributes()
            tag = self.item().data if flags & 0x400 else None
            out.append((tag, self.item()))
            flags = self.int()
            code = flags & 0xff
            if code == 254:
                return out
            if code not in (2, ATTR_PAIR):  # a dotted end does not occur in data
                self.fail(f"a pairlist ends in an object of type {code}")

    def attributes(self):
        flags = self.int()
        if flags & 0xff == 254:
            return {}
        if flags & 0xff not in (2, ATTR_PAIR):
            self.fail(f"attributes of type {flags & 0xff}")
        return dict(self.pairs(flags))

    def item(self):
        flags = self.int()
        code = flags & 0xff
        if code in SINGLE and code != PERSIST:
            return Value(SINGLE[code], []) if code != 254 else NULL
        if code == REFERENCE:
            index = flags >> 8 or self.int()
            if not 1 <= index <= len(self.references):
                self.fail(f"reference {index} of {len(self.references)}")
            return self.references[index - 1]
        if code == 1:  # symbol
            value = Value("symbol")
            value.data = self.item().data
            self.references.append(value)
            return value
        if code in (PERSIST, PACKAGE, NAMESPACE):
            value = Value("environment")
            self.references.append(value)
            if self.int():
                self.fail("names of a persistent name")
            value.data = [self.item().data for _ in range(self.length())]
            return value
        if code == 4:  # environment: locked, enclosure, frame, hash table, attributes
            value = Value("environment", {})
            self.references.append(value)
            self.int()
            self.item()
            frame, table = self.item(), self.item()
            for part in [frame] + (table.data if table.kind == "list" else []):
                value.data.update(part.data if part.kind == "pairs" else [])
            attributes = self.item()
            value.attributes = dict(attributes.data) if attributes.kind == "pairs" else {}
            return value
        if code in (2, ATTR_PAIR):
            return Value("pairs", self.pairs(flags))
        if code in (6, ATTR_LANG):
            return Value("call", self.pairs(flags))
        if code == ALTREP:
            return self.compact()
        if code == 9:
            count = self.int()
            if count == -1:
                return Value("char", None)
            return Value("char", self.take(count).decode("latin-1" if flags >> 12 & 4 else "utf-8", "replace"))
        value = Value("?")
        if code == 10:
            value.kind, value.data = "logical", [None if v is None else bool(v) for v in self.ints(self.length())]
        elif code == 13:
            value.kind, value.data = "integer", self.ints(self.length())
        elif code == 14:
            value.kind, value.data = "real", self.reals(self.length())
        elif code == 15:
            parts = self.reals(2 * self.length())
            value.kind, value.data = "complex", list(zip(parts[::2], parts[1::2]))
        elif code == 16:
            value.kind, value.data = "string", [self.item().data for _ in range(self.length())]
        elif code in (19, 20):
            value.kind, value.data = "list", [self.item() for _ in range(self.length())]
        elif code == 24:
            value.kind, value.data = "raw", bytes(self.take(self.length()))
        elif code == 25:
            value.kind, value.data = "s4", []
        elif code in REFUSED:
            self.fail(f"a {REFUSED[code]}, which is no data")
        else:
            self.fail(f"an object of unknown type {code}")
        if flags & 0x200:
            value.attributes = self.attributes()
        return value

    def compact(self):
        """ALTREP: a class, its state and attributes."""
        info, state, attributes = self.item(), self.item(), self.item()
        kind = info.data[0][1].data
        if kind in ("compact_intseq", "compact_realseq"):
            count, first, step = state.data
            number = int if kind == "compact_intseq" else float
            value = Value("integer" if number is int else "real",
                          [number(first + i * step) for i in range(int(count))])
        elif kind == "deferred_string":
            value = Value("string", [None if v is None else f"{v:.15g}" for v in state.data[0][1].data])
        elif kind.startswith("wrap_"):
            inner = state.data[0] if state.kind == "list" else state.data[0][1]
            value = Value(inner.kind, inner.data, dict(inner.attributes))
        else:
            self.fail(f"a compact vector of class {kind}, which this reader does not know")
        if attributes.kind == "pairs":
            value.attributes = dict(attributes.data)
        return value


def parse_saved(data, name):
    """A .rda, .RData or .rds file's bytes: {name: Value}; an .rds file's object has the name ''."""
    data = unpack(data, name)
    if data[:5] in (b"RDX2\n", b"RDX3\n"):
        pairs = Reader(data, name, 5).document()
        return dict(pairs.data) if pairs.kind == "pairs" else {}
    if data[:3] in (b"RDA", b"RDB", b"RD1", b"RD2"):
        raise RDataError(f"{name}: saved in the form {data[:4].decode('latin-1')}; only XDR (RDX2, RDX3) is read")
    return {"": Reader(data, name).document()}


def parse_lazy(index, chunks, name):
    """A package's lazy data: the bytes of .rdx and .rdb."""
    listing = Reader(unpack(index, f"{name}'s index"), f"{name}'s index").document()
    out = {}
    variables = listing["variables"]
    for variable, where in zip(variables.names or [], variables.data):
        offset, length = where.data
        raw = chunks[offset:offset + length]
        if len(raw) != length or length < 5:
            raise RDataError(f"{name}: {variable} lies at {offset} + {length}, the file has {len(chunks)} bytes")
        size, kind = struct.unpack(">I", raw[:4])[0], raw[4:5]
        try:
            if kind == b"2":
                plain = bz2.decompress(raw[5:])
            elif kind == b"Z":
                plain = lzma_raw(raw[5:])
            elif kind == b"0":
                plain = raw[5:]
            else:
                plain = zlib.decompress(raw[4:])
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise RDataError(f"{name}: {variable} is damaged: {error}") from None
        if len(plain) != size:
            raise RDataError(f"{name}: {variable} has {len(plain)} bytes where the file says {size}")
        out[variable] = (plain, f"{name}: {variable}")
    return {k: Reader(*v).document() for k, v in out.items()}


def lzma_raw(data):
    """R packs lazy data by xz without the container (its preset 6) or, by later versions, with it."""
    if data[:6] == b"\xfd7zXZ\x00":
        return lzma.decompress(data)
    return lzma.decompress(data, lzma.FORMAT_RAW, None, [{"id": lzma.FILTER_LZMA2, "preset": 6}])


def load(path):
    """{name: Value} of a file; .rdb takes the .rdx beside it."""
    path = pathlib.Path(path)
    try:
        data = path.read_bytes()
        if path.suffix == ".rdb":
            return parse_lazy(path.with_suffix(".rdx").read_bytes(), data, path.name)
    except OSError as error:
        raise RDataError(f"{error.filename}: {error.strerror}") from None
    return parse_saved(data, path.name)


def column(value, name="column"):
    """A vector as a plain list; a factor as its levels' names."""
    levels = value.attributes.get("levels")
    if value.kind == "integer" and levels is not None:
        count = len(levels.data)
        for code in value.data:
            if code is not None and not 1 <= code <= count:
                raise RDataError(f"{name}: factor code {code} of {count} levels")
        return [None if code is None else levels.data[code - 1] for code in value.data]
    if value.kind not in ("logical", "integer", "real", "string"):
        raise RDataError(f"{name}: a {value.kind} is no column")
    return [None if isinstance(v, float) and math.isnan(v) else v for v in value.data]


def columns(value, name="object"):
    """A data frame as {column: list}, all of one length."""
    if "data.frame" not in value.classes or value.kind != "list" or not value.names:
        raise RDataError(f"{name}: no data frame (a {value.kind} of class {', '.join(value.classes) or 'none'})")
    out = {key: column(part, f"{name}${key}") for key, part in zip(value.names, value.data)}
    lengths = {len(part) for part in out.values()}
    if len(lengths) != 1:
        raise RDataError(f"{name}: columns of different lengths: {sorted(lengths)}")
    return out


def describe(value):
    classes = f" of class {', '.join(value.classes)}" if value.classes else ""
    if "data.frame" in value.classes:
        return f"{len(value.data)} columns x {len(value.data[0].data) if value.data else 0} rows: " + \
            ", ".join(value.names or [])
    count = len(value.data) if value.data is not None else 0
    return f"{value.kind} of {count}{classes}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help=".rda, .RData, .rds or .rdb")
    parser.add_argument("name", nargs="?", help="a data frame to print as CSV; missing values are empty")
    args = parser.parse_args()
    try:
        objects = load(args.file)
        if args.name is None:
            for name, value in objects.items():
                print(f"{name or '(object)'}: {describe(value)}")
            return
        if args.name not in objects:
            raise RDataError(f"{args.file}: no object {args.name}; it has {', '.join(objects)}")
        table = columns(objects[args.name], args.name)
    except RDataError as error:
        sys.exit(f"rdata.py: {error}")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values()))


if __name__ == "__main__":
    main()
