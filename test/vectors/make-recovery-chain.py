"""Makes recovery-chain.json by docs/specs/keys.md, independently of the code: python3 test/vectors/make-recovery-chain.py"""
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reference import hkdf, sha256, stream, write


def public(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def head(major, n):
    return bytes([major << 5 | n]) if n < 24 else bytes([major << 5 | 24, n]) if n < 256 else bytes([major << 5 | 25]) + n.to_bytes(2, "big")


def encode(value):
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value)) + value.encode()
    if isinstance(value, int):
        return head(0, value)
    if value is None:
        return b"\xf6"
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    names = sorted(value, key=lambda name: (len(name), name))
    return head(5, len(names)) + b"".join(encode(name) + encode(value[name]) for name in names)


def kit(number):
    return Ed25519PrivateKey.from_private_bytes(hkdf(stream("kit %d" % number, 32), "costor/v1/recovery"))


KITS = {number: kit(number) for number in range(1, 5)}
SITE = sha256(public(KITS[1]))
LOGS = sorted(sha256(b"log %d" % number) for number in range(3))


def link(number, logs, signer=None, site=SITE, domain=b"costor/v1/recovery-key\x00"):
    signer = signer or KITS[number - 1]
    body = encode({"key": public(KITS[number]), "logs": logs, "site": site, "number": number})
    return encode({"key": public(signer), "body": body, "signature": signer.sign(domain + body)})


def agreed(number, logs, site=SITE, **more):
    return encode({"body": encode({"key": public(KITS[number]), "logs": logs, "site": site, "number": number}), **more})


def certificate(number, chain):
    body = encode({"head": None, "peer": stream("peer", 32), "site": SITE, "epoch": 2})
    signature = KITS[number].sign(b"costor/v1/epoch-certificate\x00" + body)
    fields = {"key": public(KITS[number]), "body": body, "signature": signature}
    return encode({**fields, **({"chain": chain} if chain else {})})


def valid(comment, logs, by_majority=()):
    chain = [(agreed if number in by_majority else link)(number, each) for number, each in enumerate(logs, 2)]
    count = len(chain) + 1
    return {
        "comment": comment, "siteId": SITE.hex(), "chain": [each.hex() for each in chain], "certificate": certificate(count, chain).hex(),
        "keys": [public(KITS[number]).hex() for number in range(2, count + 1)], "logs": [[log.hex() for log in each] for each in logs],
    }


def invalid(comment, code, *chain):
    return {"comment": comment, "siteId": SITE.hex(), "chain": [each.hex() for each in chain], "code": code}


write("recovery-chain.json", "Chains of recovery keys by docs/specs/keys.md; made by make-recovery-chain.py.", [
    valid("a second key, and no log", [[]]),
    valid("a second key, and one log", [LOGS[:1]]),
    valid("four keys", [LOGS[:2], [], LOGS]),
    valid("a second key by majority", [LOGS[:1]], [2]),
    valid("a second key by majority, whose kit then signs a third, and a fourth by majority", [LOGS[:1], LOGS[:2], []], [2, 4]),
    invalid("by majority, of another site", "signature-invalid", agreed(2, [], site=sha256(b"other"))),
    invalid("by majority, the second link first", "signature-invalid", agreed(3, [])),
    invalid("by majority, with a signature that no key belongs to", "bad-encoding", agreed(2, [], signature=bytes(64))),
    invalid("by majority, logs that do not ascend", "bad-encoding", agreed(2, LOGS[::-1])),
    invalid("by majority, a key of small order", "signature-invalid", encode({"body": encode({"key": bytes([1]) + bytes(31), "logs": [], "site": SITE, "number": 2})})),
    invalid("signed by the first key after one by majority", "signature-invalid", agreed(2, []), link(3, [], KITS[1])),
    invalid("signed by a stranger", "signature-invalid", link(2, [], KITS[4])),
    invalid("another domain", "signature-invalid", link(2, [], domain=b"costor/v1/epoch-certificate\x00")),
    invalid("of another site", "signature-invalid", link(2, [], site=sha256(b"other"))),
    invalid("the second link first", "signature-invalid", link(3, [])),
    invalid("logs that do not ascend", "bad-encoding", link(2, LOGS[::-1])),
    invalid("one log twice", "bad-encoding", link(2, [LOGS[0], LOGS[0]])),
])
