"""Makes drill-order.json by docs/specs/replication.md, independently of the code: python3 test/vectors/make-drill-order.py"""
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cbor_reference import encode
from reference import sha256, stream, write

DOMAIN = b"costor/v1/drill-order\x00"
SEED = stream("owner's machine", 32)
KEY = Ed25519PrivateKey.from_private_bytes(SEED)
PEER = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
OWNER, GATHERER = sha256(b"owner"), stream("gatherer", 32)
IDS = [sha256(b"prime %d" % number) for number in range(65)]
EXPIRES = 1_700_000_000_000


def order(count=3, domain=DOMAIN, outer=None, **more):
    body = encode({"owner": OWNER, "gatherer": GATHERER, "ids": b"".join(IDS[:count]), "expires": EXPIRES, **more})
    return encode({"body": body, "signature": KEY.sign(domain + body), **(outer or {})})


def case(comment, encoded, code=None, count=3):
    ids = {} if code else {"ids": [id_.hex() for id_ in IDS[:count]]}
    return {
        "comment": comment, "order": encoded.hex(), "seed": SEED.hex(), "peer": PEER.hex(), "owner": OWNER.hex(), "gatherer": GATHERER.hex(),
        "expiresMs": EXPIRES, **ids, **({"code": code} if code else {}),
    }


write("drill-order.json", "Orders for drills by docs/specs/replication.md; made by make-drill-order.py.", [
    case("three primes", order()),
    case("as many primes as may be", order(64), count=64),
    case("one prime too many", order(65), "bad-encoding"),
    case("ids that are cut short", order(ids=IDS[0][:31]), "bad-encoding"),
    case("a field too many in the body", order(more=1), "bad-encoding"),
    case("a field too many outside", order(outer={"more": 1}), "bad-encoding"),
    case("a time before 1970", order(expires=-1), "bad-encoding"),
    case("signed for a restore ticket", order(domain=b"costor/v1/restore-ticket\x00"), "signature-invalid"),
    case("signed without a domain", order(domain=b""), "signature-invalid"),
    case("a short signature", order(outer={"signature": bytes(63)}), "bad-encoding"),
])
