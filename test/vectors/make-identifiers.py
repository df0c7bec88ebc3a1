"""Makes identifiers.json and names.json by docs/specs/identifiers.md, independently of the code: python3 test/vectors/make-identifiers.py"""
import base64
import unicodedata

from reference import sha256, write


def base32(data):
    return "b" + base64.b32encode(data).decode().rstrip("=").lower()


def cid(digest, prefix="01551220"):
    return base32(bytes.fromhex(prefix) + digest)


DIGEST = sha256(b"identifiers")
TEXT = cid(DIGEST)
UUID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
# The last character carries 2 bits of the digest and 3 of padding.
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
PADDED = TEXT[:-1] + ALPHABET[ALPHABET.index(TEXT[-1]) ^ 1]


def case(kind, comment, text, good=None):
    return {"comment": comment, "kind": kind, "text": text, **({} if good is None else {"id": good})}


identifiers = [
    case("hex", "a digest", DIGEST.hex(), DIGEST.hex()),
    case("hex", "zeros", "0" * 64, "0" * 64),
    case("hex", "capitals", DIGEST.hex().upper()),
    case("hex", "a digit too few", DIGEST.hex()[:-1]),
    case("hex", "a digit too many", DIGEST.hex() + "0"),
    case("hex", "a line feed behind", DIGEST.hex() + "\n"),
    case("hex", "a space before", " " + DIGEST.hex()),
    case("hex", "a prefix", "0x" + DIGEST.hex()[2:]),
    case("hex", "no hex", "g" * 64),
    case("hex", "digits that are not ASCII", "\u0660" * 64),
    case("hex", "nothing", ""),
    case("uuid", "the example of RFC 9562, A.6", UUID, UUID),
    case("uuid", "the highest", "ffffffff-ffff-7fff-bfff-ffffffffffff", "ffffffff-ffff-7fff-bfff-ffffffffffff"),
    case("uuid", "capitals", UUID.upper()),
    case("uuid", "version 4", UUID[:14] + "4" + UUID[15:]),
    case("uuid", "another variant", UUID[:19] + "c" + UUID[20:]),
    case("uuid", "the nil UUID", "00000000-0000-0000-0000-000000000000"),
    case("uuid", "braces", "{" + UUID + "}"),
    case("uuid", "a urn", "urn:uuid:" + UUID),
    case("uuid", "no hyphens", UUID.replace("-", "")),
    case("uuid", "a path", UUID + "/../x"),
    case("uuid", "a line feed behind", UUID + "\n"),
    case("cid", "a digest", TEXT, DIGEST.hex()),
    case("cid", "zeros", cid(bytes(32)), bytes(32).hex()),
    case("cid", "ones", cid(b"\xff" * 32), "ff" * 32),
    case("cid", "another codec: DAG-CBOR", cid(DIGEST, "01711220")),
    case("cid", "another hash: SHA-512 cut short", cid(DIGEST, "01551320")),
    case("cid", "another hash: BLAKE3", cid(DIGEST, "01551e20")),
    case("cid", "version 2", cid(DIGEST, "02551220")),
    case("cid", "version 1 in two bytes", cid(DIGEST, "8100551220")),
    case("cid", "a codec in two bytes", cid(DIGEST, "01d5001220")),
    case("cid", "a digest of 31 bytes", cid(DIGEST[:31], "0155121f")),
    case("cid", "a digest of 33 bytes", cid(DIGEST + b"\0", "01551221")),
    case("cid", "a byte more than the digest says", cid(DIGEST + b"\0")),
    case("cid", "a byte less", cid(DIGEST[:31])),
    case("cid", "padding bits that are not zero", PADDED),
    case("cid", "padding characters", TEXT + "====="),
    case("cid", "capitals", "B" + TEXT[1:].upper()),
    case("cid", "capitals with the prefix of small letters", "b" + TEXT[1:].upper()),
    case("cid", "base16", "f01551220" + DIGEST.hex()),
    case("cid", "base58, version 0", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"),
    case("cid", "the digest alone", DIGEST.hex()),
    case("cid", "a space behind", TEXT + " "),
    case("cid", "nothing", ""),
]


def unseen(character):
    """By category; the ignorable characters of other categories that the cases below use, by hand."""
    ignorable = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u3164\ufe00\ufe0f\uffa0\U000e0100\u2800"
    return unicodedata.category(character)[0] in "CZ" and character != " " or character in ignorable


def shown(name):
    text, at = "", 0
    while at < len(name):
        for end in range(at + 1, min(at + 4, len(name)) + 1):
            try:
                character = name[at:end].decode("utf-8", "strict")
                break
            except UnicodeDecodeError:
                character = None
        if character is None:
            end = at + 1
        if character == "\\":
            text += "\\\\"
        elif character is not None and not unseen(character):
            text += character
        else:
            text += "".join("\\x%02x" % byte for byte in name[at:end])
        at = end
    return text


def name(comment, value):
    data = value.encode() if isinstance(value, str) else value
    return {"comment": comment, "bytes": data.hex(), "shown": shown(data)}


names = [
    name("plain", "Report 2024 (final).odt"),
    name("nothing", ""),
    name("letters of many scripts, and an emoji", "äß水سλ\u0915👩.txt"),
    name("a backslash", "a\\b"),
    name("what an escape looks like, as a name", "\\x1b"),
    name("and the byte that it stands for", b"\x1b"),
    name("an escape sequence of terminals", "\x1b[2J\x1b]0;title\x07"),
    name("NUL, tab, line feed, carriage return, delete", "\0\t\n\r\x7f"),
    name("C1 controls, which terminals obey too", "\x9b1m\x85"),
    name("C1 controls as bytes that are no UTF-8", b"\x9b1m\x85"),
    name("direction overrides", "exe.\u202efdp\u202c\u2066\u2069\u200f\u061c"),
    name("spaces other than the plain one", "a b\u00a0c\u2003d\u3000e\u1680f"),
    name("line and paragraph separators", "\u2028\u2029"),
    name("zero width and byte order mark", "a\u200bb\u200cc\u200dd\u2060e\ufeff"),
    name("letters that no font shows", "\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5\u2800"),
    name("variation selectors", "\u2764\ufe0f\ufe00\U000e0100"),
    name("tags", "\U000e0041"),
    name("private use", "\ue000\U000f0000"),
    name("never assigned", "\uffff\U0001ffff"),
    name("the replacement character itself", "\ufffd"),
    name("Latin-1", b"caf\xe9.txt"),
    name("Latin-1 before what comes next: nothing is swallowed", b"caf\xe9/menu\xf6"),
    name("a sequence cut short at the end", b"x\xe6\xb0"),
    name("an overlong slash", b"\xc0\xaf\xe0\x80\xaf"),
    name("half a surrogate pair", b"\xed\xa0\x80"),
    name("past U+10FFFF", b"\xf4\x90\x80\x80\xf5\xff"),
    name("continuation bytes alone", b"\x80\xbf"),
    name("combining marks", "e\u0301"),
]
write("identifiers.json", "Texts of ids and what they must be read as (no id: refused), by docs/specs/identifiers.md; made by make-identifiers.py.", identifiers)
write("names.json", "Names and how they are shown, by docs/specs/identifiers.md; made by make-identifiers.py.", names)
