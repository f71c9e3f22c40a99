#!/usr/bin/env python3
"""Tests of the study's data path: R's files, tables, splits, fetching. No network, no downloaded data: small
files made here. python3 scripts/study_data_test.py"""
import array
import bz2
import contextlib
import gzip
import io
import lzma
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "sim/data"), str(ROOT / "scripts")]
import rdata  # noqa: E402
import study_data  # noqa: E402
import to_table  # noqa: E402

NIL = struct.pack(">i", 254)
NA = -(1 << 31)


# ------------------------------------------------------------- R's serialisation, as R writes it
def integer(value):
    return struct.pack(">i", value)


def char(text):
    if text is None:
        return integer(9) + integer(-1)
    data = text.encode()
    return integer(0x40009) + integer(len(data)) + data


def symbol(text):
    return integer(1) + char(text)


def pairs(**items):
    out = b"".join(integer(0x402) + symbol(key.replace("_", ".")) + value for key, value in items.items())
    return out + NIL


def vector(code, body, attributes):
    return integer(code | (0x200 if attributes else 0)) + body + (pairs(**attributes) if attributes else b"")


def ints(values, **attributes):
    return vector(13, integer(len(values)) + b"".join(map(integer, values)), attributes)


def reals(values, **attributes):
    return vector(14, integer(len(values)) + b"".join(
        rdata.NA_REAL if v is None else struct.pack(">d", v) for v in values), attributes)


def strings(values, **attributes):
    return vector(16, integer(len(values)) + b"".join(map(char, values)), attributes)


def items(values, **attributes):
    return vector(19, integer(len(values)) + b"".join(values), attributes)


def factor(codes, levels):
    return ints(codes, levels=strings(levels), **{"class": strings(["factor"])})


def frame(**columns):
    count = 0
    for text in columns.values():
        count = struct.unpack(">i", text[4:8])[0]
    return items(list(columns.values()), names=strings(list(columns)), row_names=ints([NA, -count]),
                 **{"class": strings(["data.frame"])})


def document(item, version=2):
    head = b"X\n" + integer(version) + integer(0x40202) + integer(0x20300)
    return head + (integer(5) + b"UTF-8" if version == 3 else b"") + item


def saved(version=2, **objects):
    return b"RDX%d\n" % version + document(pairs(**objects), version)


class Scratch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path


class RDataTest(Scratch):
    def one(self, item, version=2):
        return rdata.parse_saved(document(item, version), "x.rds")[""]

    def test_a_data_frame_comes_back_with_factors_numbers_and_missing_values(self):
        table = frame(a=factor([2, 1, NA], ["low", "high"]), b=reals([1.5, None, -2.0]), c=ints([7, NA, 9]))
        got = rdata.columns(rdata.parse_saved(saved(t=table), "x.rda")["t"])
        self.assertEqual(got, {"a": ["high", "low", None], "b": [1.5, None, -2.0], "c": [7, None, 9]})

    def test_every_packing_and_both_versions_read_the_same(self):
        for version in (2, 3):
            plain = saved(version, x=ints([1, 2, 3]), y=strings(["a", None, "ü"]))
            for pack in (bytes, gzip.compress, bz2.compress, lzma.compress):
                got = rdata.parse_saved(pack(plain), "x.rda")
                self.assertEqual(got["x"].data, [1, 2, 3])
                self.assertEqual(got["y"].data, ["a", None, "ü"])

    def test_serialised_bytes_of_R_itself_for_1_to_3_are_read(self):
        # serialize(1:3, NULL) of R 4.2: a compact sequence
        text = ("580a000000030004020000030500000000055554462d38000000ee000000020000000100040009"
                "0000000e636f6d706163745f696e74736571000000020000000100040009000000046261736500"
                "0000020000000d000000010000000d000000fe0000000e00000003400800000000"
                "00003ff00000000000003ff0000000000000000000fe")
        got = rdata.parse_saved(bytes.fromhex(text), "x.rds")[""]
        self.assertEqual((got.kind, got.data), ("integer", [1, 2, 3]))

    def test_symbols_are_numbered_in_the_order_they_are_met(self):
        inner = integer(0x402) + symbol("one") + ints([1]) + integer(0x402) + integer(1 << 8 | 255) + ints([2]) + NIL
        self.assertEqual([(k, v.data) for k, v in self.one(inner).data], [("one", [1]), ("one", [2])])

    def test_environments_s4_objects_and_raw_bytes_are_stepped_over(self):
        environment = integer(4) + integer(0) + integer(253) + pairs(a=ints([5])) + NIL + NIL
        s4 = integer(0x219) + pairs(slot=ints([6]))
        raw = integer(24) + integer(3) + b"abc"
        got = self.one(items([environment, integer(1 << 8 | 255), s4, raw, ints([9])]))
        self.assertEqual([v.kind for v in got.data], ["environment", "environment", "s4", "raw", "integer"])
        self.assertEqual(got.data[4].data, [9])

    def test_lazy_data_are_found_by_their_index_in_every_packing(self):
        chunks, where, at = b"", [], 0
        raw = [{"id": lzma.FILTER_LZMA2, "preset": 6}]
        packers = {"a": lambda p: zlib.compress(p), "b": lambda p: b"2" + bz2.compress(p),
                   "c": lambda p: b"Z" + lzma.compress(p, lzma.FORMAT_RAW, filters=raw), "d": lambda p: b"0" + p}
        for number, pack in enumerate(packers.values()):
            plain = document(ints([number, 40]))
            chunk = struct.pack(">I", len(plain)) + pack(plain)
            where.append(ints([at, len(chunk)]))
            chunks, at = chunks + chunk, at + len(chunk)
        index = items([items(where, names=strings(list(packers))), NIL], names=strings(["variables", "references"]))
        rdb = self.file("Rdata.rdb", chunks)
        self.file("Rdata.rdx", gzip.compress(document(index)))
        self.assertEqual({k: v.data for k, v in rdata.load(rdb).items()},
                         {"a": [0, 40], "b": [1, 40], "c": [2, 40], "d": [3, 40]})
        self.file("Rdata.rdb", chunks[:-2])
        with self.assertRaisesRegex(rdata.RDataError, "d lies at .* the file has"):
            rdata.load(rdb)

    def test_every_cut_of_a_file_is_an_error_that_names_it(self):
        whole = saved(t=frame(a=factor([1, 2], ["x", "y"]), b=reals([1.0, 2.0])))
        for length in range(len(whole)):
            with self.assertRaisesRegex(rdata.RDataError, "cut.rda"):
                rdata.parse_saved(whole[:length], "cut.rda")
        packed = gzip.compress(whole)
        for length in range(3, len(packed)):
            with self.assertRaisesRegex(rdata.RDataError, "cut.rda"):
                rdata.parse_saved(packed[:length], "cut.rda")

    def test_what_is_not_read_is_refused_by_name(self):
        cases = {b"A\n": "ASCII form", b"B\n": "native binary form", b"PK": "not R's serialisation"}
        for start, text in cases.items():
            with self.assertRaisesRegex(rdata.RDataError, text):
                rdata.parse_saved(start + bytes(20), "x.rds")
        for item, text in ((integer(3) + NIL, "a function"), (integer(21), "byte code"), (integer(99), "unknown type 99"),
                           (integer(5 << 8 | 255), "reference 5 of 0"), (integer(13) + integer(-2), "a length of -2")):
            with self.assertRaisesRegex(rdata.RDataError, text):
                self.one(item)
        with self.assertRaisesRegex(rdata.RDataError, "serialisation version 4"):
            rdata.parse_saved(document(NIL, 4), "x.rds")
        with self.assertRaisesRegex(rdata.RDataError, "4 bytes behind the end"):
            rdata.parse_saved(document(ints([1])) + bytes(4), "x.rds")
        with self.assertRaisesRegex(rdata.RDataError, "factor code 3 of 2"):
            rdata.column(self.one(factor([3], ["a", "b"])))
        with self.assertRaisesRegex(rdata.RDataError, "no data frame"):
            rdata.columns(self.one(ints([1])))


def unpacked(data):
    """A table file as a dict, decoded from its description and not by the writer's code."""
    magic, version, rows, train, features, columns, tables, classes, length = struct.unpack("<4s8I", data[:36])
    assert magic == b"DTBL" and version == 1 and struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])
    at, out = 36 + length, {"name": data[36:36 + length].decode(), "rows": rows, "train": train, "classes": classes}
    for key, code, count in (("sizes", "I", tables), ("table_of", "I", columns), ("words", "H", rows * features),
                             ("ids", "I", rows * columns), ("labels", "I", rows)):
        values = array.array(code, data[at:at + array.array(code).itemsize * count])
        out[key], at = values.tolist(), at + values.itemsize * count
    assert at == len(data) - 4
    out["features"] = [[struct.unpack("<f", struct.pack("<I", w << 16))[0] for w in
                        out["words"][features * r:features * (r + 1)]] for r in range(rows)]
    return out


class TableTest(Scratch):
    def test_the_shuffle_is_the_one_of_the_host_library(self):
        # tb/data/table_test.cpp has the same numbers
        self.assertEqual(to_table.shuffled(12), [11, 0, 10, 5, 9, 1, 8, 4, 6, 3, 7, 2])

    def test_training_rows_come_first_and_no_row_is_lost_or_in_both(self):
        for count in (10, 11, 99, 1000):
            order = to_table.shuffled(count)
            self.assertEqual(sorted(order), list(range(count)))
            table = to_table.Table("t", count)
            table.number([float(i) for i in range(count)])
            table.label([i % 2 for i in range(count)], [0, 1])
            got = unpacked(table.encode())
            self.assertEqual(got["train"], count * 4 // 5)
            self.assertEqual(got["labels"], [i % 2 for i in order])

    def test_numbers_have_mean_0_and_deviation_1_on_the_training_rows_alone(self):
        count = 50
        values = [float(i * i) for i in range(count)]
        table = to_table.Table("t", count)
        held_out = set(range(count)) - set(table.train)
        table.number([1e9 if i in held_out else values[i] for i in range(count)])
        train = [table.features[0][i] for i in table.train]
        self.assertAlmostEqual(sum(train) / len(train), 0, places=12)
        self.assertAlmostEqual(sum(v * v for v in train) / len(train), 1, places=12)

    def test_missing_numbers_become_0_with_a_column_that_says_so(self):
        train = [0, 1, 2, 3]
        self.assertEqual(to_table.standardised([1.0, None, 3.0, None], train), [[-1, 0, 1, 0], [0, 1, 0, 1]])
        self.assertEqual(to_table.standardised([5.0, 5.0, 5.0, 5.0], train), [])
        with self.assertRaisesRegex(to_table.TableError, "height: text"):
            to_table.standardised(["tall"], [0], "height")

    def test_categories_become_columns_of_0_and_1(self):
        self.assertEqual(to_table.one_hot(["b", "a"], ["a", "b"]), [[1, 0]])
        self.assertEqual(to_table.one_hot(["b", "c", "a"], ["a", "b", "c"]), [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
        self.assertEqual(to_table.one_hot(["a", None, "b"], ["a", "b"]), [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
        self.assertEqual(to_table.one_hot(["a", "a"], ["a"]), [])
        with self.assertRaisesRegex(to_table.TableError, "colour: the value 'red'"):
            to_table.numbered(["red"], ["blue"], "colour")

    def test_bf16_words_are_the_nearest_ties_to_even(self):
        self.assertEqual([to_table.to_bf16(v) for v in (0.0, 1.0, -2.0, 255 / 256)], [0, 0x3f80, 0xc000, 0x3f7f])
        step = 2.0 ** -7
        self.assertEqual(to_table.to_bf16(1 + step / 2), 0x3f80)          # a tie: to even
        self.assertEqual(to_table.to_bf16(1 + 3 * step / 2), 0x3f82)
        self.assertEqual(to_table.to_bf16(1 + step / 2 + 2 ** -20), 0x3f81)
        for bad in (float("inf"), float("nan"), 1e39):
            with self.assertRaises(to_table.TableError):
                to_table.to_bf16(bad)

    def test_pictures_keep_every_pixel(self):
        pixels = bytes((i * 37 + j) % 256 for i in range(10) for j in range(6))
        self.file("images.idx3", struct.pack(">IIII", 0x803, 10, 2, 3) + pixels)
        self.file("labels.idx1", struct.pack(">II", 0x801, 10) + bytes(range(10)))
        got = unpacked(to_table.pictures("p", self.folder).encode())
        for row, source in zip(got["features"], to_table.shuffled(10)):
            self.assertEqual([v * 256 for v in row], list(pixels[6 * source:6 * source + 6]))
        self.file("labels.idx1", struct.pack(">II", 0x801, 10) + bytes(9))
        with self.assertRaisesRegex(to_table.TableError, "don't fit 10 pictures"):
            to_table.pictures("p", self.folder)

    def test_a_frame_becomes_a_table_and_the_label_is_no_feature(self):
        count = 20
        rda = self.file("x.rda", gzip.compress(saved(F=frame(
            size=reals([float(i) for i in range(count)]), kind=factor([i % 3 + 1 for i in range(count)], list("abc")),
            class_=factor([i % 2 + 1 for i in range(count)], ["no", "yes"])))))
        got = unpacked(to_table.from_frame("f", rda, "F", "class_").encode())
        order = to_table.shuffled(count)
        self.assertEqual(got["labels"], [i % 2 for i in order])
        self.assertEqual([row[1:] for row in got["features"]], [[float(i % 3 == k) for k in range(3)] for i in order])
        with self.assertRaisesRegex(to_table.TableError, "no object G; it has F"):
            to_table.from_frame("f", rda, "G", "class_")

    def test_ratings_keep_identities_apart_from_numbers(self):
        count = 12
        people, names = [i % 4 + 1 for i in range(count)], ["s1", "s2", "s3", "s4"]
        inst = frame(s=factor(people, names), d=factor([1] * count, ["d1", "d2"]),
                     studage=factor([i % 2 + 1 for i in range(count)], ["2", "8"]),
                     lectage=factor([1] * count, ["1"]), service=factor([i % 2 + 1 for i in range(count)], ["0", "1"]),
                     dept=factor([2] * count, ["1", "2", "3"]), y=ints([i % 5 + 1 for i in range(count)]))
        got = unpacked(to_table.ratings("r", self.file("x.rda", saved(InstEval=inst))).encode())
        order = to_table.shuffled(count)
        self.assertEqual((got["sizes"], got["table_of"]), ([4, 2, 3], [0, 1, 2]))
        self.assertEqual(got["ids"], [v for i in order for v in (i % 4, 0, 1)])
        self.assertEqual(got["labels"], [int(i % 5 >= 3) for i in order])

    def test_a_csv_of_ones_own_is_read_with_and_without_header(self):
        rows = [f"{i},{'red' if i % 2 else 'blue'},{'' if i % 5 == 3 else i * 2},c{i % 3}" for i in range(15)]
        order = to_table.shuffled(15)
        for head in ("a,b,c,d\n", ""):
            got = unpacked(to_table.own_file("own", self.file("x.csv", head + "\n".join(rows))).encode())
            self.assertEqual(got["labels"], [i % 3 for i in order])
            self.assertEqual(len(got["features"][0]), 4)  # a, b, c and c's column of missing values
        got = to_table.own_file("own", self.file("x.csv", "a,b,c,d\n" + "\n".join(rows)), "b")
        self.assertEqual(got.classes, 2)
        for text, error in (("a,b\n1,2\n3\n", "row 2 has 1 fields"), ("", "no rows"), ("a,b\n1,\n2,x\n", "row 1 has no b")):
            with self.assertRaisesRegex(to_table.TableError, error):
                to_table.own_file("own", self.file("x.csv", text))
        with self.assertRaisesRegex(to_table.TableError, "what is it"):
            to_table.own_file("own", self.folder / "x.parquet")

    def test_visits_predict_the_last_item_from_those_before(self):
        lines = ["user,item"] + [f"{u},{i}" for u in range(18) for i in range(u % 3 + 1)]
        table = to_table.own_file("v", self.file("visits.csv", "\n".join(lines)))
        got = unpacked(table.encode())  # 12 users of two or three items
        self.assertEqual((got["rows"], got["sizes"], got["table_of"]), (12, [4], [0, 0, 0, 0]))
        for row, source in enumerate(to_table.shuffled(12)):
            before = [0, 3, 3, 3] if source % 2 == 0 else [1, 0, 3, 3]
            self.assertEqual(got["ids"][4 * row:4 * row + 4], before)
            self.assertEqual(got["labels"][row], 1 if source % 2 == 0 else 2)

    def test_text_holds_its_last_fifth_out(self):
        data = "abcdefghij" * 40
        got = unpacked(to_table.own_file("t", self.file("t.txt", data)).encode())
        self.assertEqual(got["table_of"], [0] * 8)
        for row in range(got["rows"]):
            self.assertEqual(got["labels"][row], (got["ids"][8 * row] + 1) % 10)

    def test_the_command_writes_whole_files_or_none(self):
        out = self.folder / "x.dtbl"
        done = subprocess.run([sys.executable, str(ROOT / "sim/data/to_table.py"), "vowel", str(self.folder / "none"),
                               str(out)], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, out.exists()), (1, False))
        self.assertIn("No such file", done.stderr)


class FetchTest(Scratch):
    """study_data.py with commands of its own on PATH, so that nothing is fetched."""

    def setUp(self):
        super().setUp()
        self.environment = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(self.environment)))
        os.environ["DATA_DIR"] = str(self.folder / "data")
        self.sets = study_data.SETS
        self.addCleanup(lambda: setattr(study_data, "SETS", self.sets))

    def command(self, name, text):
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/bash\n" + text, encoding="utf-8")
        path.chmod(0o755)
        os.environ["PATH"] = f"{path.parent}:{self.environment['PATH']}"

    def fetch(self, *names):
        with contextlib.redirect_stderr(io.StringIO()):
            return study_data.fetch(list(names))

    def offer(self, data, **sums):
        """Packages good (with data) and gone (which apt does not have)."""
        source = self.file("vowel.rda", data)
        self.command("apt-get", f"[[ $2 == update ]] && exit 0; [[ $3 == good ]] || {{ echo 'E: no package'; exit 100; }}\n"
                     "touch good_1_all.deb; echo .>> ../../calls")
        self.command("dpkg", f"cp '{source}' \"$3/vowel.rda\"")
        kind = study_data.Set
        sums = {"rda": study_data.sha_of(source), "table": "", **sums}
        study_data.SETS = {"vowel": kind("", "good", "vowel.rda", {"vowel.rda": sums["rda"]}, sums["table"]),
                           "dna": kind("", "gone", "dna.rda", {"dna.rda": ""}, "")}

    def rda(self):
        count = 11
        return saved(Vowel=frame(V1=factor([1] * count, ["0"]), V2=reals([float(i) for i in range(count)]),
                                 Class=factor([i % 2 + 1 for i in range(count)], ["a", "b"])))

    def test_a_package_that_cannot_be_fetched_is_named_and_the_others_go_on(self):
        self.offer(self.rda())
        reference = self.folder / "reference.dtbl"
        reference.write_bytes(to_table.vowel("vowel", self.folder / "vowel.rda").encode())
        self.offer(self.rda(), table=study_data.sha_of(reference))
        missing = self.fetch("dna", "vowel")
        self.assertEqual(list(missing), ["dna"])
        self.assertIn("apt-get download gone failed", missing["dna"])
        self.assertIn("E: no package", missing["dna"])
        self.assertEqual(study_data.table_path("vowel").read_bytes(), reference.read_bytes())
        # What is there is not fetched again; what was damaged is.
        calls = self.folder / "data" / "calls"
        before = calls.read_text()
        self.assertEqual(self.fetch("vowel"), {})
        self.assertEqual(calls.read_text(), before)
        study_data.table_path("vowel").write_bytes(b"damaged")
        self.assertEqual(self.fetch("vowel"), {})
        self.assertEqual(study_data.table_path("vowel").read_bytes(), reference.read_bytes())

    def test_another_file_in_the_package_is_refused_with_both_checksums(self):
        self.offer(self.rda(), rda="0" * 64)
        missing = self.fetch("vowel")
        self.assertRegex(missing["vowel"], "good delivers another vowel.rda .* expected 0{64}, found [0-9a-f]{64}")
        self.assertFalse(study_data.table_path("vowel").exists())

    def test_a_table_that_came_out_otherwise_is_an_error(self):
        self.offer(self.rda(), table="1" * 64)
        self.assertRegex(self.fetch("vowel")["vowel"], "expected 1{64}")

    def test_without_apt_the_error_says_so(self):
        self.offer(self.rda())
        os.environ["PATH"] = str(self.folder / "nothing")
        self.assertIn("there is no command apt-get here", self.fetch("vowel")["vowel"])

    def test_every_set_has_a_reader_and_full_checksums(self):
        for name, wanted in self.sets.items():
            self.assertIn(name, to_table.SOURCES)
            for text in [wanted.table, *wanted.sha256.values()]:
                self.assertRegex(text, "^[0-9a-f]{64}$", name)
        self.assertLessEqual(set(study_data.STANDARD), set(self.sets))


if __name__ == "__main__":
    unittest.main()
