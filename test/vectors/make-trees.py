"""Makes trees.json and page-cuts.json by docs/specs/trees.md, independently of the code: python3 test/vectors/make-trees.py"""
from cbor_reference import encode
from reference import hmac256, scope_keys, sha256, stream, write

KIB = 1024


def prime(seed, length):
    return [sha256(seed.encode()), sha256(b"key of " + seed.encode()), length]


ONE, TWO = prime("one", 1000), prime("two", 4 * 2**20)
ROOT, USER = [0, 0, "root", "root"], [1000, 2**32 - 1, None, "staff"]
BASE = {"m": 0o644, "n": b"a", "o": 0, "s": 1_700_000_000_123_456_789, "t": 0}
FILE = {**BASE, "c": [0, 0, 1000], "z": 1000}
SYMLINK = {**BASE, "t": 2, "y": b"../target"}


def leaf(*objects, owners=(ROOT,), primes=(ONE, TWO)):
    return encode({"e": list(objects), "o": list(owners), "p": list(primes)})


def without(entry, *keys):
    return {key: value for key, value in entry.items() if key not in keys}


def plain_prime(entry):
    return {"id": entry[0].hex(), "key": entry[1].hex(), "lengthBytes": entry[2]}


def plain_slices(flat, primes=(ONE, TWO)):
    return [{"prime": plain_prime(primes[flat[at]]), "offsetBytes": flat[at + 1], "lengthBytes": flat[at + 2]} for at in range(0, len(flat), 3)]


def attributes(entry, owner=ROOT):
    named = {"user": owner[2], "group": owner[3]}
    time = entry["s"]
    return {
        "name": entry["n"].hex(),
        "mode": entry["m"],
        "uid": owner[0],
        "gid": owner[1],
        **{key: value for key, value in named.items() if value is not None},
        "mtimeNs": str(time if isinstance(time, int) else time[0] * 10**9 + time[1]),
        **({"linkGroup": entry["g"].hex()} if "g" in entry else {}),
        **({"linkCount": entry["k"]} if "k" in entry else {}),
        **({"xattrs": [{"name": name.hex(), "value": value.hex()} for name, value in entry["x"]]} if "x" in entry else {}),
    }


def plain_file(entry, owner=ROOT):
    extents = entry.get("h")
    pages = entry.get("l")
    return {
        **attributes(entry, owner),
        "type": "file",
        "sizeBytes": entry["z"],
        "content": {"slices": plain_slices(entry["c"])} if pages is None else {"depth": pages[0], "pages": plain_slices(pages[1:])},
        **({} if extents is None else {"extents": [{"offsetBytes": extents[at], "lengthBytes": extents[at + 1]} for at in range(0, len(extents), 2)]}),
        **({"changed": True} if "w" in entry else {}),
    }


def plain(entry, owner=ROOT):
    kind = ("file", "directory", "symlink", "fifo", "character", "block")[entry["t"]]
    if kind == "file":
        return plain_file(entry, owner)
    result = {**attributes(entry, owner), "type": kind}
    if kind == "directory":
        node = entry["d"]
        result["node"] = {"inline": node.hex()} if isinstance(node, bytes) else {"slice": plain_slices(node)[0]}
    if kind == "symlink":
        result["target"] = entry["y"].hex()
    if "j" in entry:
        result["major"], result["minor"] = entry["j"]
    return result


def good(comment, *objects, owners=(ROOT,), primes=(ONE, TWO)):
    return {"comment": comment, "form": "node", "hex": leaf(*objects, owners=owners, primes=primes).hex(), "holds": {"objects": [plain(entry, owners[entry["o"]]) for entry in objects]}}


def bad(comment, data, form="node"):
    return {"comment": comment, "form": form, "hex": (data if isinstance(data, bytes) else encode(data)).hex()}


def bad_object(comment, entry, **tables):
    return bad(comment, leaf(entry, **tables))


page_one, page_two = [b"a", 0, 0, 1000], [b"m\xff", 1, 5, 7]
names = [b"\x01", b"A", b"B.txt", b"a", b"a\x80", b"\xff" * 255]
trees = [
    good("an empty directory", primes=(), owners=()),
    good("a file of one slice", FILE, primes=(ONE,)),
    good("an empty file", {**FILE, "c": [], "z": 0}, primes=()),
    good("a file in a bundle: a part of a prime", {**FILE, "c": [0, 10, 20], "z": 20}, primes=(ONE,)),
    good("a file of three slices of two primes", {**FILE, "c": [0, 0, 1000, 1, 0, 4 * 2**20, 0, 0, 1], "z": 1001 + 4 * 2**20}),
    good("a sparse file", {**FILE, "h": [4096, 900, 2**40, 100], "z": 2**41}, primes=(ONE,)),
    good("a sparse file without data", {**FILE, "c": [], "h": [], "z": 2**50}, primes=()),
    good("a file with reference pages at depth 2", {**without(FILE, "c"), "l": [2, 0, 0, 1000, 1, 0, 900], "z": 10**12}),
    good("a file that changed while it was read", {**FILE, "w": True}, primes=(ONE,)),
    good("a name of an inode with three", {**FILE, "g": b"12345678", "k": 3}, primes=(ONE,)),
    good("a directory inlined", {**BASE, "d": leaf(SYMLINK, primes=()), "t": 1}, primes=()),
    good("a directory in a tree prime", {**BASE, "d": [0, 100, 200], "t": 1}, primes=(ONE,)),
    good("a symlink", SYMLINK, primes=()),
    good("a FIFO", {**BASE, "t": 3}, primes=()),
    good("device nodes, one with two names", {**BASE, "j": [8, 1], "t": 4}, {**BASE, "g": bytes(8), "j": [2**12 - 1, 2**20 - 1], "k": 2, "n": b"b", "t": 5}, primes=()),
    good("setuid, setgid, sticky", {**FILE, "m": 0o7777}, primes=(ONE,)),
    good("attributes, one of them empty", {**FILE, "x": [[b"security.capability", b"\1\0\0\2"], [b"user.\xff", b""]]}, primes=(ONE,)),
    good("names in byte order", *({**SYMLINK, "n": name} for name in names), primes=()),
    good("two owners, each listed once, in order of their first use", {**SYMLINK, "o": 0}, {**SYMLINK, "n": b"b", "o": 1}, {**SYMLINK, "n": b"c", "o": 0}, owners=(USER, ROOT), primes=()),
    good("a time before 1970", {**SYMLINK, "s": -1}, primes=()),
    good("the last time in 64 bits", {**SYMLINK, "s": 2**63 - 1}, primes=()),
    good("the first time in 64 bits", {**SYMLINK, "s": -(2**63)}, primes=()),
    good("a nanosecond later: a list", {**SYMLINK, "s": [2**63 // 10**9, 2**63 % 10**9]}, primes=()),
    good("a nanosecond earlier: a list", {**SYMLINK, "s": [-(2**63 + 1) // 10**9, -(2**63 + 1) % 10**9]}, primes=()),
    good("the last time that Linux has", {**SYMLINK, "s": [2**63 - 1, 999_999_999]}, primes=()),
    {"comment": "an index of two pages", "form": "node", "hex": encode({"i": [page_one, page_two], "p": [ONE, TWO]}).hex(),
     "holds": {"pages": [{"firstName": page[0].hex(), "slice": plain_slices(page[1:])[0]} for page in (page_one, page_two)]}},
    {"comment": "a reference page", "form": "references", "hex": encode({"c": [0, 0, 1000, 1, 0, 9, 0, 1, 2], "p": [ONE, TWO]}).hex(), "holds": plain_slices([0, 0, 1000, 1, 0, 9, 0, 1, 2])},
    bad("no map", [1]),
    bad("bytes for a map", b"x"),
    bad("no CBOR", b"\xff"),
    bad("no list of objects", {"o": [], "p": []}),
    bad("no list of owners", {"e": [], "p": []}),
    bad("no list of primes", {"e": [], "o": []}),
    bad("objects that are a map", {"e": {}, "o": [], "p": []}),
    bad_object("an object that is a list", [FILE]),
    bad_object("an object that is null", None),
    *(bad_object(f"an object without {key}", without(FILE, key)) for key in ("c", "m", "n", "o", "s", "t", "z")),
    bad_object("a type that is not known", {**BASE, "t": 6}),
    bad_object("a negative type", {**BASE, "t": -1}),
    *(bad_object(f"the name {name!r}", {**SYMLINK, "n": name}) for name in (b"", b".", b"..", b"a/b", b"/", b"a\0", b"\0")),
    bad_object("a name of 256 bytes", {**SYMLINK, "n": b"x" * 256}),
    bad_object("a name that is text", {**SYMLINK, "n": "a"}),
    bad("a name twice", leaf(SYMLINK, SYMLINK)),
    bad("names out of order", leaf({**SYMLINK, "n": b"b"}, SYMLINK)),
    bad_object("a mode of 13 bits", {**FILE, "m": 0o10000}),
    bad_object("an owner that is not listed", {**SYMLINK, "o": 1}),
    bad_object("a uid of 33 bits", SYMLINK, owners=([2**32, 0, None, None],)),
    bad_object("a negative gid", SYMLINK, owners=([0, -1, None, None],)),
    bad_object("an owner's name that is a number", SYMLINK, owners=([0, 0, 5, None],)),
    bad_object("an owner's name that is empty", SYMLINK, owners=([0, 0, None, ""],)),
    bad_object("an owner's name with NUL", SYMLINK, owners=([0, 0, "a\0b", None],)),
    bad_object("an owner that is cut short", SYMLINK, owners=([0, 0, None],)),
    bad_object("a time that is text", {**SYMLINK, "s": "now"}),
    bad_object("a time in 65 bits", {**SYMLINK, "s": 2**63}),
    bad_object("a list of a time that fits 64 bits", {**SYMLINK, "s": [1, 1]}),
    bad_object("a time with a whole second of nanoseconds", {**SYMLINK, "s": [2**40, 10**9]}),
    bad_object("a time with negative nanoseconds", {**SYMLINK, "s": [2**40, -1]}),
    bad_object("a time of 65 bits of seconds", {**SYMLINK, "s": [2**63, 0]}),
    bad_object("a time without nanoseconds", {**SYMLINK, "s": [2**40]}),
    bad_object("a prime that is not listed", {**FILE, "c": [2, 0, 1000]}),
    bad_object("a slice cut short", {**FILE, "c": [0, 0]}),
    bad_object("a slice that ends beyond its prime", {**FILE, "c": [0, 1, 1000]}),
    bad_object("a slice that begins beyond its prime", {**FILE, "c": [0, 1001, 0], "z": 0}),
    bad_object("a negative offset", {**FILE, "c": [0, -1, 1000]}),
    bad_object("an offset of 2^53", {**FILE, "c": [0, 2**53, 1000]}),
    bad_object("a prime of more than 4 MiB", FILE, primes=([ONE[0], ONE[1], 4 * 2**20 + 1],)),
    bad_object("a PrimeId of 31 bytes", FILE, primes=([ONE[0][:31], ONE[1], 1000],)),
    bad_object("a key of 33 bytes", FILE, primes=([ONE[0], ONE[1] + b"\0", 1000],)),
    bad_object("a prime without a length", FILE, primes=([ONE[0], ONE[1]],)),
    bad_object("less content than the size", {**FILE, "z": 1001}),
    bad_object("more content than the size", {**FILE, "z": 999}),
    bad_object("a size of 2^53", {**FILE, "z": 2**53}),
    bad_object("slices and pages", {**FILE, "l": [1, 0, 0, 1000]}),
    bad_object("pages of depth 0", {**without(FILE, "c"), "l": [0, 0, 0, 1000]}),
    bad_object("pages of depth 9", {**without(FILE, "c"), "l": [9, 0, 0, 1000]}),
    bad_object("pages without a depth", {**without(FILE, "c"), "l": []}),
    bad_object("extents that overlap", {**FILE, "h": [0, 500, 499, 500], "z": 4096}),
    bad_object("extents out of order", {**FILE, "h": [2000, 500, 0, 500], "z": 4096}),
    bad_object("an empty extent", {**FILE, "h": [0, 1000, 2000, 0], "z": 4096}),
    bad_object("an extent beyond the file's end", {**FILE, "h": [100, 1000], "z": 1099}),
    bad_object("an extent without a length", {**FILE, "h": [0, 1000, 2000], "z": 4096}),
    bad_object("extents of another length than the content", {**FILE, "h": [0, 999], "z": 4096}),
    bad_object("a link group of 7 bytes", {**FILE, "g": b"1234567"}),
    bad_object("a negative link count", {**FILE, "k": -1}),
    bad_object("a directory without a node", {**BASE, "t": 1}),
    bad_object("a directory with two nodes", {**BASE, "d": [0, 0, 10, 0, 10, 10], "t": 1}),
    bad_object("a directory with a slice of none", {**BASE, "d": [], "t": 1}),
    bad_object("a symlink without a target", {**BASE, "t": 2}),
    bad_object("a symlink to nothing", {**SYMLINK, "y": b""}),
    bad_object("a target with NUL", {**SYMLINK, "y": b"a\0"}),
    bad_object("a target of 4,097 bytes", {**SYMLINK, "y": b"x" * 4097}),
    bad_object("a device without numbers", {**BASE, "t": 4}),
    bad_object("a device with one number", {**BASE, "j": [1], "t": 5}),
    bad_object("an attribute without a name", {**FILE, "x": [[b"", b""]]}),
    bad_object("an attribute's name of 256 bytes", {**FILE, "x": [[b"u" * 256, b""]]}),
    bad_object("an attribute's name with NUL", {**FILE, "x": [[b"user.\0", b""]]}),
    bad_object("an attribute without a value", {**FILE, "x": [[b"user.a"]]}),
    bad_object("an attribute twice", {**FILE, "x": [[b"user.a", b"1"], [b"user.a", b"2"]]}),
    bad_object("attributes out of order", {**FILE, "x": [[b"user.b", b""], [b"user.a", b""]]}),
    bad("an index whose pages are a map", {"i": {}, "p": []}),
    bad("an index whose page is no list", {"i": [b"a"], "p": [ONE]}),
    bad("a page without a slice", {"i": [[b"a"]], "p": [ONE]}),
    bad("a page with two slices", {"i": [page_one + [0, 0, 1]], "p": [ONE]}),
    bad("a page that begins with a name that is none", {"i": [[b"..", 0, 0, 10]], "p": [ONE]}),
    bad("pages out of order", {"i": [page_two, page_one], "p": [ONE, TWO]}),
    bad("two pages that begin with the same name", {"i": [page_one, page_one], "p": [ONE]}),
    bad("a reference page that is a list", [], "references"),
    bad("a reference page without slices", {"p": []}, "references"),
    bad("a reference page without primes", {"c": []}, "references"),
    bad("a reference page with a slice beyond its prime", {"c": [0, 0, 1001], "p": [ONE]}, "references"),
    bad("a reference page cut short", {"c": [0, 0], "p": [ONE]}, "references"),
]
write("trees.json", "Nodes and reference pages and what they hold (no `holds`: refused), by docs/specs/trees.md; made by make-trees.py.", trees)

SECRET = bytes(range(32))
CONTENT = scope_keys(SECRET)["content"]


def ends_page(name, page_bytes):
    draw = int.from_bytes(hmac256(CONTENT, b"page" + name)[:4], "big")
    return page_bytes >= 512 * KIB or (page_bytes >= 128 * KIB and draw % 128 == 0)


def page_case(comment, name, page_bytes):
    return {"comment": comment, "scopeSecret": SECRET.hex(), "name": name.hex(), "pageBytes": page_bytes, "ends": ends_page(name, page_bytes)}


def reference_case(comment, key, count):
    ends = count >= 8192 or int.from_bytes(key[:2], "little") % 1024 == 0
    return {"comment": comment, "key": key.hex(), "count": count, "ends": ends}


cut = next(name for name in (b"name %d" % number for number in range(10_000)) if ends_page(name, 128 * KIB))
cut_bytes = next(name for name in (b"\xff\xe9%d" % number for number in range(10_000)) if ends_page(name, 128 * KIB))
cuts = [
    page_case("a name that ends pages", cut, 128 * KIB),
    page_case("a name that ends pages and is no UTF-8", cut_bytes, 200 * KIB),
    page_case("it does not end one below 128 KiB", cut, 128 * KIB - 1),
    page_case("a name that does not", b"another name", 512 * KIB - 1),
    page_case("any name ends a page of 512 KiB", b"another name", 512 * KIB),
    *(page_case(f"any of these: {number}", stream(f"cut {number}", 12), 300 * KIB) for number in range(40)),
    reference_case("a key that ends reference pages", bytes(32), 1),
    reference_case("the other six bits do not matter", b"\x00\xfc" + bytes(30), 1),
    reference_case("each of the ten bits does: the lowest", b"\x01\x00" + bytes(30), 8191),
    reference_case("and the highest", b"\x00\x02" + bytes(30), 8191),
    reference_case("any key ends a page of 8,192 references", b"\xff" * 32, 8192),
]
write("page-cuts.json", "Where pages of wide directories and of reference lists end, by docs/specs/trees.md; made by make-trees.py.", cuts)
