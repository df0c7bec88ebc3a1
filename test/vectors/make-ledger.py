"""Makes ledger.json by docs/specs/ledger.md, independently of the code: python3 test/vectors/make-ledger.py"""
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cbor_reference import encode
from reference import hkdf, sha256, stream, write

DOMAIN = b"costor/v1/ledger-entry\x00"


def public(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def certificate(root, peer_seed, epoch, head=None):
    recovery = Ed25519PrivateKey.from_private_bytes(hkdf(root, "costor/v1/recovery"))
    peer = public(Ed25519PrivateKey.from_private_bytes(peer_seed))
    body = encode({"site": sha256(public(recovery)), "peer": peer, "epoch": epoch, "head": head})
    signature = recovery.sign(b"costor/v1/epoch-certificate\x00" + body)
    return encode({"key": public(recovery), "body": body, "signature": signature}), sha256(body)


def entry(peer_seed, fields, domain=DOMAIN, outer=None):
    body = encode(fields)
    signature = Ed25519PrivateKey.from_private_bytes(peer_seed).sign(domain + body)
    return encode({"body": body, "signature": signature, **(outer or {})}), sha256(body)


def fields(log, seq, kind="note", data=None, number=1, time=1_700_000_000_000):
    uuid = bytes([1, 2, 3, 4, 5, 6, 0x70, number, 0x80]) + bytes(7)
    return {"id": uuid, "log": log, "seq": seq, "data": data or {}, "kind": kind, "time": time}


def digest(logs):
    """logs: LogId -> {seq: EntryHash}"""
    whole = b""
    for log in sorted(logs):
        if logs[log]:
            whole += log + sha256(b"".join(seq.to_bytes(8, "big") + logs[log][seq] for seq in sorted(logs[log])))
    return sha256(whole)


ROOT, PEER, OTHER_PEER = stream("root", 32), stream("peer seed", 32), stream("other peer seed", 32)
CERTIFICATE, LOG = certificate(ROOT, PEER, 1)
NEXT_CERTIFICATE, NEXT_LOG = certificate(ROOT, OTHER_PEER, 2, stream("head", 32))


def good(comment, seq, **more):
    bytes_, hash_ = entry(PEER, fields(LOG, seq, **more))
    return {"comment": comment, "certificate": CERTIFICATE.hex(), "log": LOG.hex(), "entry": bytes_.hex(), "seq": seq, "hash": hash_.hex()}


def bad(comment, code, bytes_):
    return {"comment": comment, "certificate": CERTIFICATE.hex(), "log": LOG.hex(), "entry": bytes_.hex(), "error": code}


def without(name):
    return {key: value for key, value in fields(LOG, 0).items() if key != name}


first, first_hash = entry(PEER, fields(LOG, 0))
second, second_hash = entry(PEER, fields(LOG, 1, number=2))
third, third_hash = entry(PEER, fields(LOG, 2, number=3))
own_retire, own_retire_hash = entry(PEER, fields(LOG, 3, "retire", {"log": LOG, "ranges": [[0, 0], [2, 9]]}, 4))
next_retire, next_retire_hash = entry(OTHER_PEER, fields(NEXT_LOG, 0, "retire", {"log": LOG, "ranges": [[0, 3]]}, 5))

cases = [
    good("a first entry with no data", 0),
    good("the largest seq", 2**53 - 1),
    good("data of its own, and an unknown kind", 7, kind="of-a-later-version", data={"a": [1, b"\x00", "text", None, True]}),
    bad("another domain", "signature-invalid", entry(PEER, fields(LOG, 0), b"costor/v1/epoch-certificate\x00")[0]),
    bad("another machine's signature", "signature-invalid", entry(OTHER_PEER, fields(LOG, 0))[0]),
    bad("a flipped bit of the signature", "signature-invalid", first[:-1] + bytes([first[-1] ^ 1])),
    bad("a log that is not known", "signature-invalid", entry(PEER, fields(NEXT_LOG, 0))[0]),
    bad("a field too many outside", "bad-encoding", entry(PEER, fields(LOG, 0), outer={"more": 1})[0]),
    bad("a field too many inside", "bad-encoding", entry(PEER, {**fields(LOG, 0), "more": 1})[0]),
    bad("no time", "bad-encoding", entry(PEER, without("time"))[0]),
    bad("a negative seq", "bad-encoding", entry(PEER, fields(LOG, -1))[0]),
    bad("a seq past 2^53", "bad-encoding", entry(PEER, fields(LOG, 2**53))[0]),
    bad("a kind in capitals", "bad-encoding", entry(PEER, fields(LOG, 0, kind="Note"))[0]),
    bad("a kind of 33 letters", "bad-encoding", entry(PEER, fields(LOG, 0, kind="k" * 33))[0]),
    bad("data that is no map", "bad-encoding", entry(PEER, {**fields(LOG, 0), "data": [1]})[0]),
    bad("an id that is no UUIDv7", "bad-id", entry(PEER, {**fields(LOG, 0), "id": bytes(16)})[0]),
    bad("a log of 31 bytes", "bad-id", entry(PEER, {**fields(LOG, 0), "log": bytes(31)})[0]),
    bad("bytes after the entry", "bad-encoding", first + b"\x00"),
    {
        "comment": "the digest of three entries, whatever the order",
        "certificates": [CERTIFICATE.hex()],
        "entries": [first.hex(), second.hex(), third.hex()],
        "digest": digest({LOG: {0: first_hash, 1: second_hash, 2: third_hash}}).hex(),
    },
    {
        "comment": "a retire in its own log withdraws only what came before it",
        "certificates": [CERTIFICATE.hex()],
        "entries": [first.hex(), second.hex(), third.hex(), own_retire.hex()],
        "digest": digest({LOG: {1: second_hash, 3: own_retire_hash}}).hex(),
    },
    {
        "comment": "the next epoch's log withdraws all of the one before, its retires too",
        "certificates": [CERTIFICATE.hex(), NEXT_CERTIFICATE.hex()],
        "entries": [first.hex(), second.hex(), third.hex(), own_retire.hex(), next_retire.hex()],
        "digest": digest({LOG: {}, NEXT_LOG: {0: next_retire_hash}}).hex(),
    },
    {"comment": "the digest of nothing", "certificates": [], "entries": [], "digest": digest({}).hex()},
]
write("ledger.json", "Entries of the ledger and digests by docs/specs/ledger.md; made by make-ledger.py.", cases)
