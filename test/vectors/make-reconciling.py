"""Makes reconciling.json by docs/specs/replication.md, independently of the code: python3 test/vectors/make-reconciling.py"""
from functools import reduce

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cbor_reference import encode
from reference import sha256, stream, write

KEY = sha256(b"reconciling")
IDS = sorted(sha256(b"id %d" % number) for number in range(700))


def tag(one):
    return Cipher(algorithms.AES(KEY), modes.ECB()).encryptor().update(one[:16])[:8]


def having(prefix):
    return [one for one in IDS if one.hex().startswith(prefix)]


def count(number):
    out = b""
    while number >= 128:
        out += bytes([number % 128 + 128])
        number //= 128
    return out + bytes([number])


def xor(left, right):
    return bytes(a ^ b for a, b in zip(left, right))


def fingerprint(prefix):
    ids = having(prefix)
    return reduce(xor, map(tag, ids), bytes(8)) + count(len(ids))


def below(prefix):
    ids = having(prefix)
    if len(ids) > 32:
        return count(0) + b"".join(fingerprint(prefix + digit) for digit in "0123456789abcdef")
    return count(len(ids) + 1) + b"".join(sorted(map(tag, ids)))


def prefix_bytes(prefix):
    return bytes([len(prefix)]) + bytes.fromhex(prefix + "0" * (len(prefix) % 2))


def find(prefix, wanted):
    for one in having(prefix):
        if tag(one) == wanted:
            return b"\x01" + one
    return b"\x00" + below(prefix)


def case(comment, sums=(), belows=(), finds=()):
    question, answer = {}, {}
    if sums:
        question["s"], answer["s"] = b"".join(map(prefix_bytes, sums)), b"".join(map(fingerprint, sums))
    if belows:
        question["b"], answer["b"] = b"".join(map(prefix_bytes, belows)), b"".join(map(below, belows))
    if finds:
        question["f"] = b"".join(prefix_bytes(prefix) + wanted for prefix, wanted in finds)
        answer["f"] = b"".join(find(prefix, wanted) for prefix, wanted in finds)
    return {"comment": comment, "question": encode(question).hex(), "answer": encode(answer).hex()}


first = IDS[0].hex()
write(
    "reconciling.json",
    "Questions about the SHA-256 of `id 0` to `id 699` under SHA-256 of `reconciling`, and their answers.",
    [
        case("the fingerprints of everything, of a slice, and of nothing", sums=["", "a", "0123456789abcdef"]),
        case("children of more than 32 ids, tags of few, none", belows=["", "5", first[:3], first[:16], "fffff"]),
        case("a tag that an id has, and one that none has", finds=[(first[:3], tag(IDS[0])), (first[:4], stream("tag", 8))]),
        case("all of it at once", sums=["0"], belows=["0"], finds=[(first[:5], tag(IDS[0]))]),
        case("nothing at all"),
    ],
)
