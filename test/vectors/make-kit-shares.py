"""Makes kit-shares.json by docs/specs/keys.md, independently of the code: python3 test/vectors/make-kit-shares.py"""
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reference import hkdf, sha256, stream, write


def times(a, b):
    """In GF(2^8) with x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def value(coefficients, place):
    result = 0
    for coefficient in reversed(coefficients):
        result = times(result, place) ^ coefficient
    return result


def word_numbers(data):
    bits = "".join("{:08b}".format(byte) for byte in data)
    bits += "0" * (-len(bits) % 11)
    return [int(bits[at:at + 11], 2) for at in range(0, len(bits), 11)]


def key_check(root):
    public = Ed25519PrivateKey.from_private_bytes(hkdf(root, "costor/v1/recovery")).public_key()
    return sha256(public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))[:4]


def part_of(root, threshold, place, seed):
    """Byte by byte a polynomial of degree threshold - 1 whose value at 0 is the secret's byte."""
    noise = stream(seed, 32 * (threshold - 1))
    values = [value([byte] + list(noise[index * (threshold - 1):(index + 1) * (threshold - 1)]), place) for index, byte in enumerate(root)]
    return bytes(values) + bytes([place])


def share(root, set_id, threshold, count, number, place, seed, version=1, check=None, bad_sum=False):
    body = bytes([version, threshold, count, number]) + set_id + (check or key_check(root)) + part_of(root, threshold, place, seed)
    return word_numbers(body + (bytes(4) if bad_sum else sha256(body)[:4]))


def whole(comment, root, threshold, count, seed):
    set_id = stream("set " + seed, 4)
    places = [(number * 37) % 255 + 1 for number in range(1, count + 1)]
    shares = [share(root, set_id, threshold, count, number, place, seed) for number, place in enumerate(places, 1)]
    return {"comment": comment, "kitRoot": root.hex(), "threshold": threshold, "count": count, "setId": set_id.hex(), "keyCheck": key_check(root).hex(), "shares": shares}


ROOT = stream("kit", 32)
SET = stream("set", 4)


def invalid(comment, says, **change):
    fields = {"root": ROOT, "set_id": SET, "threshold": 2, "count": 3, "number": 1, "place": 9, "seed": "bad", **change}
    return {"comment": comment, "shares": [share(**fields)], "says": says}


too_long = share(ROOT, SET, 2, 3, 1, 9, "bad")
write("kit-shares.json", "Shares of recovery kits by docs/specs/keys.md, as numbers of words from 0; made by make-kit-shares.py.", [
    whole("2 of 2", ROOT, 2, 2, "a"),
    whole("2 of 3, of a root of zeros", bytes(32), 2, 3, "b"),
    whole("3 of 5", ROOT, 3, 5, "c"),
    whole("16 of 16", b"\xff" * 32, 16, 16, "d"),
    invalid("a wrong checksum", "two have changed places", bad_sum=True),
    invalid("another version", "of version 2", version=2),
    invalid("one share is enough", "numbers cannot be", threshold=1),
    invalid("more are needed than there are", "numbers cannot be", threshold=4),
    invalid("more shares than are allowed", "numbers cannot be", count=17),
    invalid("number 0", "numbers cannot be", number=0),
    invalid("a number above the count", "numbers cannot be", number=4),
    {"comment": "a left over bit is set", "shares": [too_long[:-1] + [too_long[-1] | 1]], "says": "two have changed places"},
    {"comment": "a word is missing", "shares": [too_long[:-1]], "says": "36 words, and here are 35"},
])
