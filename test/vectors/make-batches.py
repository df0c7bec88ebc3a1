"""Makes batches.json by docs/specs/http.md, independently of the code: python3 test/vectors/make-batches.py"""
from reference import sha256, stream, write

LIMIT = 4 * 2**20 + 256 * 2**10


def entry(stored, claimed=None):
    return sha256(stored) + (len(stored) if claimed is None else claimed).to_bytes(4, "big") + stored


def valid(comment, *primes):
    described = [{"id": sha256(stored).hex(), "stored": stored.hex()} for stored in primes]
    return {"comment": comment, "hex": b"".join(map(entry, primes)).hex(), "primes": described}


def invalid(comment, code, data):
    return {"comment": comment, "hex": data.hex(), "code": code}


ONE, TWO, THREE = stream("batch 1", 100), stream("batch 2", 1), stream("batch 3", 300)
WHOLE = entry(ONE) + entry(THREE)
cases = [
    valid("no prime"),
    valid("one prime", ONE),
    valid("three primes, in order", THREE, ONE, TWO),
    valid("the same prime twice: framing does not mind", ONE, ONE),
    valid("a prime of no bytes: framing does not mind", b"", ONE, b""),
    invalid("one byte", "bad-request", WHOLE[:1]),
    invalid("an id and half a length", "bad-request", WHOLE[:34]),
    invalid("a head and nothing", "bad-request", WHOLE[:36]),
    invalid("a prime less one byte", "bad-request", WHOLE[:135]),
    invalid("a second head cut short", "bad-request", WHOLE[:140]),
    invalid("the last byte missing", "bad-request", WHOLE[:-1]),
    invalid("a byte behind the last prime", "bad-request", WHOLE + b"\0"),
    invalid("a length of one byte too many", "bad-request", entry(ONE, 101)),
    invalid("the largest length allowed, and nothing", "bad-request", entry(b"", LIMIT)),
    invalid("a byte more than the largest length", "limit-exceeded", entry(ONE, LIMIT + 1)),
    invalid("the largest length that there is, behind a good prime", "limit-exceeded", entry(ONE) + entry(b"", 2**32 - 1)),
]
write("batches.json", "Batches of primes and what they hold, or the code that they are refused with, by docs/specs/http.md; made by make-batches.py.", cases)
