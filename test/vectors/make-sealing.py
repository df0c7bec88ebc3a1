"""Makes sealing.json by docs/specs/sealing.md, independently of the code: python3 test/vectors/make-sealing.py (needs zstd's CLI)"""
import subprocess

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reference import hmac256, scope_keys, sha256, stream, write

SECRET = bytes(range(32))
CONVERGENCE = scope_keys(SECRET)["convergence"]
KINDS = {"content": 1, "tree": 2}


def varint(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def padme(length):
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    unit = 1 << max(0, exponent - exponent.bit_length())
    return -(-length // unit) * unit


def make_payload(codec, compressed, floor=0, length=None, padding=None):
    bare = bytes([codec]) + (varint(len(compressed)) if length is None else length) + compressed
    return bare + (bytes(padme(max(len(bare), floor)) - len(bare)) if padding is None else padding)


def seal(payload, kind="content", version=1, aad_version=1):
    key = hmac256(CONVERGENCE, payload)
    return bytes([version]) + AESGCM(key).encrypt(bytes(12), payload, bytes([aad_version, KINDS[kind]])), key


def zstd(data, *options):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, capture_output=True, check=True).stdout


def lz4_literals(data):
    """An LZ4 block of literals only; less than 15 + 255 bytes."""
    assert 15 <= len(data) < 270
    return len(data).to_bytes(4, "little") + bytes([0xF0, len(data) - 15]) + data


def case(comment, plain, payload, kind="content", length=None, **extra):
    stored, key = seal(payload, kind)
    return {"comment": comment, "kind": kind, "id": sha256(stored).hex(), "key": key.hex(), "lengthBytes": len(plain) if length is None else length, "plain": plain.hex(), "stored": stored.hex(), **extra}


def refuse(comment, failed, stored, key, length, kind="content", **extra):
    return {"comment": comment, "failed": failed, "kind": kind, "id": sha256(stored).hex(), "key": key.hex(), "lengthBytes": length, "stored": stored.hex(), **extra}


noise = stream("sealing", 200)
text = b"the same words again and again, " * 8
zeros = bytes(1 << 20)
good, good_key = seal(make_payload(0, noise))


def refuse_payload(comment, failed, payload, length=200):
    return refuse(comment, failed, *seal(payload), length)


def flipped(index, bit):
    damaged = bytearray(good)
    damaged[index] ^= bit
    return bytes(damaged)


bomb = zstd(bytes(64 << 20), "-19", "--zstd=wlog=20")
wide = zstd(zeros, "--long=27")
two = zstd(text) + zstd(text)
cases = [
    # "sealed" cases are incompressible, so that sealing gives exactly these bytes. The rest is for opening only.
    case("nothing, sealed", b"", make_payload(0, b""), sealed=True, padToBytes=0),
    case("one byte, sealed", b"\x2a", make_payload(0, b"\x2a"), sealed=True, padToBytes=0),
    case("noise, sealed", noise, make_payload(0, noise), sealed=True, padToBytes=0),
    case("noise as a tree has another id under the same key, sealed", noise, make_payload(0, noise), kind="tree", sealed=True, padToBytes=0),
    case("a floor of 1,000 becomes 1,024, sealed", noise, make_payload(0, noise, 1000), sealed=True, padToBytes=1000),
    case("a two-byte varint and one byte of padding, sealed", stream("sealing", 1000), make_payload(0, stream("sealing", 1000)), sealed=True, padToBytes=0),
    case("LZ4 literals only", noise, make_payload(1, lz4_literals(noise))),
    case("LZ4 with a match: 'abcd', then 28 bytes from 4 back, then 5 literals", b"abcd" * 8 + b"12345", make_payload(1, (37).to_bytes(4, "little") + b"\x4fabcd\x04\x00\x09\x5012345")),
    case("zstd", text, make_payload(2, zstd(text))),
    case("zstd of a higher level and with a checksum", text, make_payload(2, zstd(text, "-19", "--check", "--zstd=wlog=20"))),
    case("zstd without the content's size", text, make_payload(2, zstd(text, "--no-content-size"))),
    case("no padding at all is no fault", noise, make_payload(0, noise, padding=b"")),
    refuse("nothing", "length", b"", bytes(32), 0),
    refuse("18 bytes", "length", bytes(18), bytes(32), 0),
    refuse("bytes of another prime", "id", flipped(0, 0), good_key, 200, id=sha256(b"").hex()),
    refuse("a bit of the ciphertext is flipped, and the id follows", "tag", flipped(20, 1), good_key, 200),
    refuse("a bit of the tag is flipped, and the id follows", "tag", flipped(len(good) - 1, 0x80), good_key, 200),
    refuse("opened as another kind", "tag", good, good_key, 200, kind="tree"),
    refuse("opened with another key", "tag", good, bytes(32), 200),
    refuse("a key of 31 bytes", "reference", good, good_key[:31], 200),
    refuse("a version from the future", "version", *seal(make_payload(0, noise), version=2, aad_version=2), 200),
    refuse("the version byte is not what was authenticated", "tag", *seal(make_payload(0, noise), aad_version=2), 200),
    refuse("a length of a byte less", "compression", good, good_key, 199),
    refuse("a length of a byte more", "compression", good, good_key, 201),
    refuse("a length above a prime's", "reference", good, good_key, (4 << 20) + 1),
    refuse("a negative length", "reference", good, good_key, -1),
    refuse_payload("codec 3", "compression", make_payload(3, noise)),
    refuse_payload("a varint longer than necessary", "length", make_payload(0, noise, length=b"\xc8\x81\x00")),
    refuse_payload("a varint of five bytes", "length", make_payload(0, noise, length=b"\xc8\x81\x80\x80\x00")),
    refuse_payload("a varint that does not end", "length", b"\x00\xff"),
    refuse_payload("a compressed length above the payload", "length", make_payload(0, noise, length=b"\xff\x7f")),
    refuse_payload("the first byte of padding is 1", "padding", make_payload(0, noise, padding=b"\x01\x00\x00")),
    refuse_payload("the last byte of padding is 1", "padding", make_payload(0, noise, padding=bytes(300) + b"\x01")),
    refuse_payload("LZ4 whose own length is another", "compression", make_payload(1, (201).to_bytes(4, "little") + lz4_literals(noise)[4:])),
    refuse_payload("LZ4 that claims 4 GiB", "compression", make_payload(1, b"\xff\xff\xff\xff" + lz4_literals(noise)[4:])),
    refuse_payload("LZ4 cut off", "compression", make_payload(1, lz4_literals(noise)[:-1])),
    refuse_payload("LZ4 with a match from before the start", "compression", make_payload(1, (37).to_bytes(4, "little") + b"\x4fabcd\x05\x00\x09\x5012345"), 37),
    refuse_payload("LZ4 of nothing", "compression", make_payload(1, b""), 0),
    refuse_payload("zstd cut off", "compression", make_payload(2, zstd(text)[:-1]), len(text)),
    refuse_payload("zstd with a byte behind it", "compression", make_payload(2, zstd(text) + b"\x00"), len(text)),
    refuse_payload("two zstd frames, of which the first is the content", "compression", make_payload(2, two), len(text)),
    refuse_payload("two zstd frames together", "compression", make_payload(2, two), 2 * len(text)),
    refuse_payload("zstd of nothing at all", "compression", make_payload(2, b""), 0),
    refuse_payload("a bomb: 64 MiB of zeros where 1,000 bytes are referenced", "compression", make_payload(2, bomb), 1000),
    refuse_payload("a bomb where 4 MiB are referenced", "compression", make_payload(2, bomb), 4 << 20),
    refuse_payload("zstd with a window of 128 MiB", "compression", make_payload(2, wide), 1 << 20),
    refuse_payload("zstd that is garbage", "compression", make_payload(2, noise)),
]
write("sealing.json", "Primes by docs/specs/sealing.md; made by make-sealing.py. Scope secret: 00 01 … 1f. \"failed\": must not open, for that reason.", cases)
