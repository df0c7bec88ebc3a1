"""Makes erase-order.json by docs/specs/replication.md, independently of the code: python3 test/vectors/make-erase-order.py"""
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cbor_reference import encode
from reference import sha256, stream, write

DOMAIN = b"costor/v1/erase-order\x00"
SEED = stream("recovery", 32)
KEY = Ed25519PrivateKey.from_private_bytes(SEED)
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
OTHER = Ed25519PrivateKey.from_private_bytes(stream("other", 32))
SITE, LOG, ID = sha256(PUBLIC), sha256(b"log"), stream("id", 16)


def order(domain=DOMAIN, signer=KEY, outer=None, **more):
    body = encode({"id": ID, "log": LOG, "site": SITE, **more})
    return encode({"body": body, "key": PUBLIC, "signature": signer.sign(domain + body), **(outer or {})})


def case(comment, encoded, code=None):
    fields = {"seed": SEED.hex(), "key": PUBLIC.hex(), "id": ID.hex(), "log": LOG.hex(), "site": SITE.hex()}
    return {"comment": comment, "order": encoded.hex(), **fields, **({"code": code} if code else {})}


write("erase-order.json", "Orders to erase by docs/specs/replication.md; made by make-erase-order.py.", [
    case("an order", order()),
    case("a field too many in the body", order(more=1), "bad-encoding"),
    case("a field too many outside", order(outer={"more": 1}), "bad-encoding"),
    case("a short id", order(id=ID[:15]), "bad-encoding"),
    case("a short log", order(log=LOG[:31]), "bad-encoding"),
    case("a short signature", order(outer={"signature": bytes(63)}), "bad-encoding"),
    case("signed by another key", order(signer=OTHER), "signature-invalid"),
    case("signed for a restore ticket", order(domain=b"costor/v1/restore-ticket\x00"), "signature-invalid"),
    case("signed without a domain", order(domain=b""), "signature-invalid"),
    case("longer than any order", order(more=bytes(512)), "limit-exceeded"),
])
