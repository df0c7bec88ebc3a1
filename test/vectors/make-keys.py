"""Makes keys.json and hpke.json by docs/specs/keys.md, independently of the code: python3 test/vectors/make-keys.py"""
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from reference import hkdf, hmac256, scope_keys, sha256, stream, write


def public(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def cbor_bytes(data):
    return (bytes([0x40 | len(data)]) if len(data) < 24 else bytes([0x58, len(data)])) + data


def cbor_text(text):
    return bytes([0x60 | len(text)]) + text.encode()


def cbor_uint(n):
    return bytes([n]) if n < 24 else bytes([0x18, n]) if n < 256 else bytes([0x1B]) + n.to_bytes(8, "big")


def certificate(seed, site, peer, epoch, head):
    """Keys of a map stand by length, then by bytes."""
    recovery = Ed25519PrivateKey.from_private_bytes(seed)
    body = b"\xa4" + cbor_text("head") + (b"\xf6" if head is None else cbor_bytes(head)) + cbor_text("peer") + cbor_bytes(peer) + cbor_text("site") + cbor_bytes(site) + cbor_text("epoch") + cbor_uint(epoch)
    signature = recovery.sign(b"costor/v1/epoch-certificate\x00" + body)
    return b"\xa3" + cbor_text("key") + cbor_bytes(public(recovery)) + cbor_text("body") + cbor_bytes(body) + cbor_text("signature") + cbor_bytes(signature)


def ticket(seed, site, peer, id, expires):
    recovery = Ed25519PrivateKey.from_private_bytes(seed)
    body = b"\xa4" + cbor_text("id") + cbor_bytes(id) + cbor_text("peer") + cbor_bytes(peer) + cbor_text("site") + cbor_bytes(site) + cbor_text("expires") + cbor_uint(expires)
    signature = recovery.sign(b"costor/v1/restore-ticket\x00" + body)
    return b"\xa3" + cbor_text("key") + cbor_bytes(public(recovery)) + cbor_text("body") + cbor_bytes(body) + cbor_text("signature") + cbor_bytes(signature)


def keys_case(comment, root, words=None):
    seed = hkdf(root, "costor/v1/recovery")
    recovery = public(Ed25519PrivateKey.from_private_bytes(seed))
    read = {}
    for generation in (1, 2, 10):
        private = hkdf(root, "costor/v1/read/%d" % generation)
        read[generation] = {"private": private.hex(), "public": public(X25519PrivateKey.from_private_bytes(private)).hex()}
    site_secret = hkdf(root, "costor/v1/site")
    site = sha256(recovery)
    peer, head = stream("peer", 32), stream("head", 32)
    return {
        "comment": comment, "kitRoot": root.hex(), "words": words, "recoverySeed": seed.hex(), "recoveryPublicKey": recovery.hex(),
        "siteId": site.hex(), "read": read, "scopeSecret": site_secret.hex(), "scope": {k: v.hex() for k, v in scope_keys(site_secret).items()},
        "peerPublicKey": peer.hex(), "head": head.hex(),
        "firstCertificate": certificate(seed, site, peer, 1, None).hex(), "laterCertificate": certificate(seed, site, peer, 2**40, head).hex(),
        "ticketId": stream("ticket", 16).hex(), "ticketExpiresMs": 2**41, "ticket": ticket(seed, site, peer, stream("ticket", 16), 2**41).hex(),
    }


# Words of these roots: the published test vectors of BIP39.
cases = [
    keys_case("all zeros", bytes(32), " ".join(["abandon"] * 23 + ["art"])),
    keys_case("all ones", b"\xff" * 32, " ".join(["zoo"] * 23 + ["vote"])),
    keys_case("7f…", b"\x7f" * 32, " ".join("legal winner thank year wave sausage worth useful".split() * 3)[: -len("useful")] + "title"),
    keys_case("80…", b"\x80" * 32, " ".join("letter advice cage absurd amount doctor acoustic avoid".split() * 3)[: -len("avoid")] + "bless"),
    keys_case("noise", stream("kit", 32)),
]
write("keys.json", "Keys and epoch certificates by docs/specs/keys.md; made by make-keys.py.", cases)


def labeled_extract(suite, salt, label, ikm):
    return hmac256(salt or bytes(32), b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    return HKDFExpand(hashes.SHA256(), length, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info).derive(prk)


def hpke_seal(ephemeral, recipient, aead_id, key_bytes, info, aad, plain):
    """RFC 9180, base mode, single shot, with a given ephemeral key."""
    kem = b"KEM" + (0x20).to_bytes(2, "big")
    suite = b"HPKE" + (0x20).to_bytes(2, "big") + (1).to_bytes(2, "big") + aead_id.to_bytes(2, "big")
    sender = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = public(sender)
    dh = sender.exchange(X25519PublicKey.from_public_bytes(recipient))
    shared = labeled_expand(kem, labeled_extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + recipient, 32)
    context = b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    secret = labeled_extract(suite, shared, b"secret", b"")
    key = labeled_expand(suite, secret, b"key", context, key_bytes)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    return enc, AESGCM(key).encrypt(nonce, plain, aad)


# The first vector of RFC 9180, A.1.1 checks this implementation, and the library under test with AES-128-GCM.
rfc = {
    "info": "4f6465206f6e2061204772656369616e2055726e", "skEm": "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
    "skRm": "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8", "pkRm": "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d",
    "enc": "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431", "pt": "4265617574792069732074727574682c20747275746820626561757479", "aad": "436f756e742d30",
    "ct": "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
}
enc, ct = hpke_seal(*(bytes.fromhex(rfc[k]) for k in ("skEm", "pkRm")), 1, 16, *(bytes.fromhex(rfc[k]) for k in ("info", "aad", "pt")))
assert enc.hex() == rfc["enc"] and ct.hex() == rfc["ct"]

private = hkdf(bytes(32), "costor/v1/read/1")
recipient = public(X25519PrivateKey.from_private_bytes(private))
site, agent, snapshot = sha256(b"site"), "01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058"
context = site + bytes.fromhex(agent.replace("-", "")) + bytes.fromhex(snapshot.replace("-", ""))


def sealed_case(comment, seed, plain, **extra):
    enc, ct = hpke_seal(stream(seed, 32), recipient, 2, 32, b"costor/v1/read-sealing", context, plain)
    return {"comment": comment, "readPrivateKey": private.hex(), "siteId": site.hex(), "agentId": agent, "snapshotId": snapshot, "plain": plain.hex(), "sealed": (b"\x01" + enc + ct).hex(), **extra}


write("hpke.json", "HPKE: RFC 9180 A.1.1, and what CoStor seals to a read key by docs/specs/keys.md; made by make-keys.py.", [
    {"comment": "RFC 9180, A.1.1, sequence number 0", "rfc": rfc},
    sealed_case("nothing", "e1", b""),
    sealed_case("100 bytes", "e2", stream("root", 100)),
])
