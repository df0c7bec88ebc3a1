"""What the vector makers share. Needs Python 3.9 and the package `cryptography` (47 or later: HPKE)."""
import hashlib
import hmac
import json
import pathlib

HERE = pathlib.Path(__file__).parent


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(secret, label):
    """RFC 5869 with an empty salt, for one block of output."""
    prk = hmac256(bytes(32), secret)
    return hmac256(prk, label.encode() + b"\x01")


def scope_keys(secret):
    return {name: hkdf(secret, "costor/v1/scope/" + name) for name in ("convergence", "chunking", "bundling", "content")}


def stream(seed, length):
    """Reproducible noise: SHA-256(seed text, counter as u32 BE) end to end."""
    blocks = (sha256(seed.encode() + i.to_bytes(4, "big")) for i in range(-(-length // 32)))
    return b"".join(blocks)[:length]


def write(name, about, cases):
    """One case a line, so that a change of one is a change of one line."""
    lines = ",\n    ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    text = '{\n  "about": %s,\n  "cases": [\n    %s\n  ]\n}\n' % (json.dumps(about), lines)
    (HERE / name).write_text(text)
    print(name, len(cases), "cases,", len(text), "bytes")
