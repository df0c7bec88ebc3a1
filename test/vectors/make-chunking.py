"""Makes chunking.json by docs/specs/chunking.md, independently of the code: python3 test/vectors/make-chunking.py"""
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from reference import scope_keys, sha256, stream, write

KIB = 1024
GEAR = [int.from_bytes(sha256(b"costor/v1/gear" + bytes([b]))[:4], "big") for b in range(256)]
MASK = 0xFFFFFFFF
SECRET = bytes(range(32))


def candidates(data):
    found, h = [], 0
    for index, byte in enumerate(data):
        h = ((h << 1) + GEAR[byte]) & MASK
        if h < 1 << 22 and index >= 31:
            found.append(index + 1)
    return found


def cuts(data, secret):
    cipher = Cipher(algorithms.AES(scope_keys(secret)["chunking"]), modes.ECB()).encryptor()
    draws = [(p, int.from_bytes(cipher.update(data[p - 16 : p])[:4], "big")) for p in candidates(data)]
    lengths, start = [], 0
    while start < len(data):
        end = min(len(data), start + 4096 * KIB)
        for p, draw in draws:
            size = p - start
            if size < 256 * KIB:
                continue
            if p >= end:
                break
            if draw < (1 << 20 if size < 832 * KIB else 1 << 24):
                end = p
                break
        lengths.append(end - start)
        start = end
    return lengths


def crowded(period):
    """The first repeated pattern of `period` bytes that makes every `period`-th position a candidate."""
    for number in range(256**period):
        unit = number.to_bytes(period, "big")
        h = 0
        for byte in unit * (32 // period + 1):
            h = ((h << 1) + GEAR[byte]) & MASK
        if h < 1 << 22:
            return unit


def make(spec):
    if spec["kind"] == "stream":
        data = stream(spec["seed"], spec["lengthBytes"])
    else:
        unit = bytes.fromhex(spec["unit"])
        data = (unit * (spec["lengthBytes"] // len(unit) + 1))[: spec["lengthBytes"]]
    at = spec.get("insertAt")
    return data if at is None else data[:at] + bytes.fromhex(spec["insert"]) + data[at:]


def case(comment, secret=SECRET, **spec):
    return {"comment": comment, "scopeSecret": secret.hex(), "content": spec, "chunkLengths": cuts(make(spec), secret)}


noise = dict(kind="stream", seed="chunking", lengthBytes=6 * 1024 * KIB)
cases = [
    {"comment": "the gear table, big-endian, by its SHA-256 and its first entry", "gearSha256": sha256(b"".join(g.to_bytes(4, "big") for g in GEAR)).hex(), "first": GEAR[0]},
    case("noise of 6 MiB", **noise),
    case("the same under another scope is cut elsewhere", secret=bytes([9]) * 32, **noise),
    case("one byte inserted changes only the chunks around it", insertAt=300_000, insert="00", **noise),
    case("longer noise, so that late cuts are among them", kind="stream", seed="second", lengthBytes=9_000_001),
    case("a file of the least size is one chunk", kind="stream", seed="short", lengthBytes=256 * KIB),
    case("one byte only", kind="stream", seed="short", lengthBytes=1),
    case("nothing", kind="stream", seed="short", lengthBytes=0),
    case("zeros have no candidates: chunks of the maximum", kind="repeat", unit="00", lengthBytes=9 * 1024 * KIB),
    case("a pattern full of candidates is judged by one draw", kind="repeat", unit=crowded(2).hex(), lengthBytes=5 * 1024 * KIB),
]
write("chunking.json", "Chunks by docs/specs/chunking.md; made by make-chunking.py. content.kind stream: SHA-256(seed, u32 BE counter) end to end.", cases)
