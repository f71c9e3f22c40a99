#!/usr/bin/env python3
"""GTKWave process filter: floating-point patterns as numbers.

GTKWave writes one hexadecimal value a line to stdin and reads one line of text back for each. A value wider than
one number is several of them, lane 0 (the lowest bits) first. The format is the argument or the end of the name
that the script was started by.
"""
import argparse
import math
import sys

# bits of the pattern, exponent bits, mantissa bits, all-ones exponents are finite (OCP e4m3)
FORMATS = {
    "fp32": (32, 8, 23, False),
    "bf16": (16, 8, 7, False),
    "fp16": (16, 5, 10, False),
    "fp8e4m3": (8, 4, 3, True),
    "fp8e5m2": (8, 5, 2, False),
}
DIGITS = {"fp32": 5, "bf16": 3, "fp16": 4, "fp8e4m3": 3, "fp8e5m2": 3}


def value_of(pattern: int, exponent_bits: int, mantissa_bits: int, finite: bool) -> float:
    mantissa = pattern & ((1 << mantissa_bits) - 1)
    exponent = pattern >> mantissa_bits & ((1 << exponent_bits) - 1)
    sign = -1.0 if pattern >> (mantissa_bits + exponent_bits) & 1 else 1.0
    top = (1 << exponent_bits) - 1
    bias = (1 << (exponent_bits - 1)) - 1
    if finite and exponent == top and mantissa == (1 << mantissa_bits) - 1:
        return math.nan
    if not finite and exponent == top:
        return math.nan if mantissa else sign * math.inf
    if exponent == 0:
        return sign * math.ldexp(mantissa, 1 - bias - mantissa_bits)
    return sign * math.ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits)


def show(value: float, digits: int) -> str:
    """The shortest text with `digits` significant digits: 0.5, -1.25, 3e-05, inf."""
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    text = f"{value:.{digits}g}"
    return text.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def translate(line: str, fmt: str) -> str:
    """One line of GTKWave's; what is no number (x, z) goes back as it came."""
    line = line.strip()
    width, exponent_bits, mantissa_bits, finite = FORMATS[fmt]
    try:
        whole = int(line, 16)
    except ValueError:
        return line
    # GTKWave writes all digits of a vector, so the length says how many numbers there are.
    count = max(1, len(line) * 4 // width)
    mask = (1 << width) - 1
    return "  ".join(show(value_of(whole >> (width * i) & mask, exponent_bits, mantissa_bits, finite), DIGITS[fmt])
                     for i in range(count))


def self_test() -> int:
    cases = [("fp32", "3f800000", "1"), ("fp32", "ff800000", "-inf"), ("fp32", "00000001", "1.4013e-45"),
             ("fp32", "80000000", "-0"), ("bf16", "3fc0", "1.5"), ("bf16", "7fc0", "nan"),
             ("bf16", "c0403f80", "1  -3"),
             ("fp16", "7bff", "6.55e4"), ("fp16", "3555", "0.3333"), ("fp8e4m3", "7e", "448"), ("fp8e4m3", "7f", "nan"),
             ("fp8e4m3", "01", "0.00195"), ("fp8e5m2", "7c", "inf"), ("fp8e5m2", "bc", "-1"), ("bf16", "xxxx", "xxxx")]
    wrong = [(f, h, want, translate(h, f)) for f, h, want in cases if translate(h, f) != want]
    for f, h, want, got in wrong:
        print(f"float_filter.py: {f} {h} gives {got}, not {want}", file=sys.stderr)
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", nargs="?", default="fp32", choices=sorted(FORMATS))
    parser.add_argument("--self-test", action="store_true", help="check known patterns of every format and exit")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    for line in sys.stdin:  # GTKWave waits for each answer: nothing may stay in a buffer
        sys.stdout.write(translate(line, options.format) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
