"""Makes cbor.json by docs/specs/cbor.md, independently of the code: python3 test/vectors/make-cbor.py"""
import json

from cbor_reference import encode, head, notation
from reference import write


def valid(comment, value):
    return {"comment": comment, "hex": encode(value).hex(), "value": notation(value)}


def invalid(comment, encoded):
    return {"comment": comment, "hex": (bytes.fromhex(encoded) if isinstance(encoded, str) else encoded).hex()}


def nested(count, inner):
    return b"\x81" * count + inner


edges = [0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**63, 2**64 - 1]
cases = [
    *(valid(f"the integer {value}", value) for value in edges),
    *(valid(f"the integer {-1 - value}", -1 - value) for value in edges),
    valid("no bytes", b""),
    valid("23 bytes: the length in the head", bytes(range(23))),
    valid("24 bytes: a length of one byte", bytes(range(24))),
    valid("256 bytes: a length of two bytes", bytes(256)),
    valid("an empty text", ""),
    valid("text of one to four bytes a character", "aß水🜁"),
    valid("a byte order mark is text like any other", "\ufeffx"),
    valid("NUL in text", "\0"),
    valid("an empty list", []),
    valid("a list of everything", [1, -1, b"\xff", "x", [], {}, True, False, None]),
    valid("24 items", list(range(24))),
    valid("an empty map", {}),
    valid("a shorter key is first, whatever its bytes", {"b": 1, "aa": 2, "c": 3, "": 0}),
    valid("keys of equal length by their bytes, not their UTF-16", {"\U00010000": 1, "\uffffa": 2}),
    valid("names of JavaScript's prototypes are keys like any other", {"__proto__": {"a": 1}, "constructor": 2}),
    valid("a value inside 64 lists", json.loads("[" * 64 + "0" + "]" * 64)),
    invalid("nothing", ""),
    invalid("0 in two bytes", "1800"),
    invalid("23 in two bytes", "1817"),
    invalid("255 in three bytes", "1900ff"),
    invalid("65,535 in five bytes", "1a0000ffff"),
    invalid("2^32 - 1 in nine bytes", "1b00000000ffffffff"),
    invalid("-1 in two bytes", "3800"),
    invalid("a length of bytes in two bytes", "580161"),
    invalid("a length of text in two bytes", "780161"),
    invalid("a count of items in two bytes", "980100"),
    invalid("a count of entries in two bytes", "b801616100"),
    *(invalid(f"the reserved length {info} of major type {major}", bytes([major << 5 | info])) for major in (0, 1, 2, 3, 4, 5) for info in (28, 29, 30)),
    invalid("bytes of indefinite length", "5f4161ff"),
    invalid("text of indefinite length", "7f6161ff"),
    invalid("a list of indefinite length", "9f01ff"),
    invalid("a map of indefinite length", "bf616101ff"),
    invalid("a break by itself", "ff"),
    invalid("a half float", "f93c00"),
    invalid("a single float", "fa3f800000"),
    invalid("a double", "fb3ff0000000000000"),
    invalid("not a number", "f97e00"),
    invalid("undefined", "f7"),
    invalid("an unassigned simple value", "e0"),
    invalid("a simple value in two bytes", "f8ff"),
    invalid("true in two bytes", "f815"),
    invalid("a tag: a big integer", "c249010000000000000000"),
    invalid("a tag: a CID", "d82a4100"),
    invalid("a byte behind the value", "0000"),
    invalid("a second value", "8000"),
    invalid("an integer cut short", "1a0000"),
    invalid("bytes cut short", "4361"),
    invalid("text cut short", "6361"),
    invalid("a list cut short", "8201"),
    invalid("a map cut short behind a key", "a16161"),
    invalid("a map cut short behind an entry", "a2616101"),
    invalid("keys out of order", "a2616201616102"),
    invalid("a longer key first", "a2626161016162 02".replace(" ", "")),
    invalid("a key twice", "a2616101616102"),
    invalid("a key that is an integer", "a10101"),
    invalid("a key that is bytes", "a1416101"),
    invalid("text with a stray continuation byte", "6180"),
    invalid("text with an overlong slash", "62c0af"),
    invalid("text with half a surrogate pair", "63eda080"),
    invalid("text past U+10FFFF", "64f4908080"),
    invalid("text that ends inside a character", "62e282"),
    invalid("a key that is not UTF-8", "a161ff00"),
    invalid("bytes that claim 2^64 - 1", "5bffffffffffffffff"),
    invalid("text that claims 2^53", "7b0020000000000000"),
    invalid("a list that claims 2^32 items", "9b0000000100000000"),
    invalid("a list that claims one item more than bytes follow", head(4, 5) + bytes(4)),
    invalid("a map that claims 2^31 entries", "ba80000000"),
    invalid("a value inside 65 lists", nested(65, b"\x00")),
    invalid("a value inside 65 maps", b"\xa1\x61\x61" * 65 + b"\x00"),
    invalid("1,000 lists one in the other", nested(1000, b"\x80")),
]
write("cbor.json", "Values and their only encodings, and bytes that encode nothing (no value), by docs/specs/cbor.md; made by make-cbor.py.", cases)
