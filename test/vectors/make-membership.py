"""Makes membership.json by docs/specs/membership.md and ledger.md, independently of the code: python3 test/vectors/make-membership.py"""
import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cbor_reference import encode
from reference import hkdf, sha256, stream, write


def public(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


class Site:
    def __init__(self, name):
        recovery = Ed25519PrivateKey.from_private_bytes(hkdf(stream(name + " root", 32), "costor/v1/recovery"))
        self.recovery = recovery
        self.key = Ed25519PrivateKey.from_private_bytes(stream(name + " peer", 32))
        self.peer = public(self.key)
        self.id = sha256(public(recovery))
        body = encode({"site": self.id, "peer": self.peer, "epoch": 1, "head": None})
        self.log = sha256(body)
        signature = recovery.sign(b"costor/v1/epoch-certificate\x00" + body)
        self.certificate = encode({"key": public(recovery), "body": body, "signature": signature})
        self.body = body

    def rekeyed(self, name, number=2):
        """The same machine, by a key on which members agree."""
        again = Site.__new__(Site)
        again.__dict__.update(self.__dict__)
        key = Ed25519PrivateKey.from_private_bytes(hkdf(stream(name + " root", 32), "costor/v1/recovery"))
        link_body = encode({"key": public(key), "logs": [self.log], "site": self.id, "number": number})
        again.link, again.link_hash = encode({"body": link_body}), sha256(link_body)
        signature = key.sign(b"costor/v1/epoch-certificate\x00" + self.body)
        again.certificate = encode({"key": public(key), "body": self.body, "signature": signature, "chain": [again.link]})
        return again


def body(number, previous, members, expelled=(), **more):
    return encode({
        "name": "Schools", "salt": stream("salt", 16), "number": number, "previous": previous,
        "members": [{"site": site.id, "inviter": inviter and inviter.id} for site, inviter in sorted(members, key=lambda m: m[0].id)],
        "expelled": [{"site": site.id, "heads": [{"log": log, "seq": seq} for log, seq in heads]} for site, heads in expelled],
        **more,
    })


def roster(body_, signers, domain=b"costor/v1/roster\x00"):
    return encode({"body": body_, "signatures": [
        {"certificate": site.certificate, "signature": site.key.sign(domain + body_)} for site in sorted(signers, key=lambda s: s.id)]})


A, B, C = Site("a"), Site("b"), Site("c")
B0 = body(0, None, [(A, None)])
FEDERATION = sha256(B0)
B1 = body(1, sha256(B0), [(A, None), (B, A)])
B2 = body(2, sha256(B1), [(A, None), (B, A), (C, B)])
B3 = body(3, sha256(B2), [(A, None), (B, A)], [(C, [(C.log, 7)])])
GOOD = [roster(B0, [A]), roster(B1, [A]), roster(B2, [A, B]), roster(B3, [B, C])]


C2 = C.rekeyed("c, the second kit")
ALL = [(A, None), (B, A), (C, B)]
R3 = body(3, sha256(B2), ALL, rekey=C2.link)
R4 = body(4, sha256(R3), [(A, None), (C, B)], [(B, [(B.log, 3)])])


def chain(comment, rosters, error=None, last=B3):
    case = {"what": "chain", "comment": comment, "federation": FEDERATION.hex(), "rosters": [one.hex() for one in rosters]}
    return {**case, "error": error} if error else {**case, "hash": sha256(last).hex()}


def base32(data):
    return base64.b32encode(data).decode().lower().rstrip("=")


def invitation(fields):
    data = encode(fields)
    return "costor-join1-" + base32(data + sha256(data)[:4])


FIELDS = {"a": ["/ip4/192.0.2.1/tcp/4001", "/dns4/hill.example/tcp/4001/ws"], "e": 1_700_000_000_000, "f": FEDERATION, "k": stream("secret", 16), "p": A.peer}


def invited(comment, fields, error=None):
    case = {"what": "invitation", "comment": comment, "text": invitation(fields)}
    if error:
        return {**case, "error": error}
    hexed = {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
    return {**case, "fields": hexed}


def words(comment, inviter, joiner):
    digest = sha256(b"costor/v1/join-words\x00" + FEDERATION + inviter.id + inviter.peer + joiner.id + joiner.peer)
    bits = "".join(f"{byte:08b}" for byte in digest)
    numbers = [int(bits[at * 11:at * 11 + 11], 2) for at in range(8)]
    return {"what": "words", "comment": comment, "federation": FEDERATION.hex(), "inviter": inviter.certificate.hex(), "joiner": joiner.certificate.hex(), "numbers": numbers}


def kit_words(comment, site):
    digest = sha256(b"costor/v1/kit-words\x00" + FEDERATION + site.id + site.link_hash)
    bits = "".join(f"{byte:08b}" for byte in digest)
    return {"what": "kit words", "comment": comment, "federation": FEDERATION.hex(), "link": site.link.hex(), "numbers": [int(bits[at * 11:at * 11 + 11], 2) for at in range(8)]}


def objection(comment, site, link_hash, good=True):
    signature = site.recovery.sign(b"costor/v1/kit-objection\x00" + link_hash)
    return {"what": "objection", "comment": comment, "key": public(site.recovery).hex(), "link": C2.link_hash.hex(), "signature": signature.hex(), "good": good}


def message(comment, fields, error=None):
    case = {"what": "request", "comment": comment, "bytes": encode(fields).hex()}
    return {**case, "error": error} if error else {**case, "ask": fields["ask"]}


LATER = {**FIELDS, "z": 1}
cases = [
    chain("four rosters: the first, two that admit, one that expels", GOOD),
    chain("signatures by all do no harm", [*GOOD[:3], roster(B3, [A, B, C])]),
    chain("one of two is no majority", [*GOOD[:2], roster(B2, [A]), GOOD[3]], "roster-invalid"),
    chain("one of three is no majority", [*GOOD[:3], roster(B3, [A])], "roster-invalid"),
    chain("the one who is admitted has no vote yet", [GOOD[0], GOOD[1], roster(B2, [A, C])], "roster-invalid"),
    chain("a roster left out", [GOOD[0], GOOD[2]], "roster-invalid"),
    chain("another domain", [roster(B0, [A], b"costor/v1/ledger-entry\x00")], "signature-invalid"),
    chain("a first roster that its member has not signed", [roster(B0, [B])], "roster-invalid"),
    chain("signatures out of order", [*GOOD[:2], encode({"body": B2, "signatures": [
        {"certificate": site.certificate, "signature": site.key.sign(b"costor/v1/roster\x00" + B2)} for site in sorted([A, B], key=lambda s: s.id, reverse=True)]})], "signature-invalid"),
    chain("two changes at once", [GOOD[0], roster(body(1, sha256(B0), [(A, None), (B, A), (C, A)]), [A])], "roster-invalid"),
    chain("an expulsion without its heads", [*GOOD[:3], roster(body(3, sha256(B2), [(A, None), (B, A)]), [A, B])], "roster-invalid"),
    chain("members out of order", [roster(encode({"name": "", "salt": bytes(16), "number": 0, "previous": None, "expelled": [], "members": [
        {"site": site.id, "inviter": None} for site in sorted([A, B], key=lambda s: s.id, reverse=True)]}), [A])], "bad-encoding"),
    chain("a field too many", [roster(body(0, None, [(A, None)], more=1), [A])], "bad-encoding"),
    chain("a salt of 15 bytes", [roster(body(0, None, [(A, None)], salt=bytes(15)), [A])], "bad-encoding"),
    chain("nobody in it", [roster(body(0, None, []), [A])], "bad-encoding"),
    chain("a member's new recovery key, by both others", [*GOOD[:3], roster(R3, [A, B])], last=R3),
    chain("and its machine votes by that key afterwards", [*GOOD[:3], roster(R3, [A, B, C]), roster(R4, [A, C2])], last=R4),
    chain("or still by the former one", [*GOOD[:3], roster(R3, [A, B]), roster(R4, [A, C])], last=R4),
    chain("a new key by one other and the site itself", [*GOOD[:3], roster(R3, [A, C])], "roster-invalid"),
    chain("a new key by one other", [*GOOD[:3], roster(R3, [A])], "roster-invalid"),
    chain("a new key that the site itself votes for by that key", [*GOOD[:3], roster(R3, [A, B, C2])], "signature-invalid"),
    chain("a vote by a key on which nobody has agreed", [*GOOD[:3], roster(B3, [B, C2])], "signature-invalid"),
    chain("a vote by another key than the agreed one", [*GOOD[:3], roster(R3, [A, B]), roster(R4, [A, C.rekeyed("thief")])], "signature-invalid"),
    chain("a new key of one who is no member", [*GOOD[:2], roster(body(2, sha256(B1), ALL[:2], rekey=C2.link), [A, B])], "roster-invalid"),
    chain("a new key and a removal at once", [*GOOD[:3], roster(body(3, sha256(B2), ALL[:2], [(C, [(C.log, 7)])], rekey=C2.link), [A, B])], "roster-invalid"),
    chain("a new key in a first roster", [roster(body(0, None, [(A, None)], rekey=A.rekeyed("x").link), [A])], "roster-invalid"),
    chain("a new key with the number of the first", [*GOOD[:3], roster(body(3, sha256(B2), ALL, rekey=C.rekeyed("y", 1).link), [A, B])], "limit-exceeded"),
    chain("what is no link", [*GOOD[:3], roster(body(3, sha256(B2), ALL, rekey=b"x"), [A, B])], "bad-encoding"),
    invited("two addresses", FIELDS),
    invited("no address", {**FIELDS, "a": []}, "invitation-invalid"),
    invited("an address with a control character", {**FIELDS, "a": ["/ip4/\x1b[2J"]}, "invitation-invalid"),
    invited("a secret of 15 bytes", {**FIELDS, "k": bytes(15)}, "invitation-invalid"),
    invited("an expiry before 1970", {**FIELDS, "e": -1}, "invitation-invalid"),
    invited("a field too many", LATER, "invitation-invalid"),
    invited("a field too few", {name: FIELDS[name] for name in "aefk"}, "invitation-invalid"),
    words("a invites b", A, B),
    words("b invites a: other words", B, A),
    kit_words("c asks for a second kit", C2),
    objection("c's kit objects", C, C2.link_hash),
    objection("to another key", C, sha256(b"other"), False),
    message("compare, in no federation", {"ask": "compare", "digest": bytes(32), "roster": None}),
    message("compare", {"ask": "compare", "digest": stream("digest", 32), "roster": FEDERATION}),
    message("rosters", {"ask": "rosters", "from": 3}),
    message("summary", {"ask": "summary"}),
    message("logs", {"ask": "logs", "logs": [A.log, B.log]}),
    message("entries", {"ask": "entries", "log": A.log, "ranges": [[0, 4], [6, 6], [8, 2**53 - 1]]}),
    message("check", {"ask": "check", "log": A.log, "ranges": []}),
    message("an unknown question", {"ask": "all"}, "bad-encoding"),
    message("no question", {}, "bad-encoding"),
    message("a field too many", {"ask": "summary", "more": 1}, "bad-encoding"),
    message("ranges that touch", {"ask": "entries", "log": A.log, "ranges": [[0, 4], [5, 6]]}, "bad-encoding"),
    message("a seq past 2^53", {"ask": "entries", "log": A.log, "ranges": [[0, 2**53]]}, "bad-encoding"),
    message("17 logs at once", {"ask": "logs", "logs": [A.log] * 17}, "bad-encoding"),
]
write("membership.json", "Rosters, invitations, words of joining, and requests of a synchronisation; made by make-membership.py.", cases)
