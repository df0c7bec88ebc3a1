"""Makes bundles.json by docs/specs/bundles.md, independently of the code: python3 test/vectors/make-bundles.py"""
from reference import hmac256, scope_keys, stream, write

KIB = 1024
SECRET = bytes(range(32))
CONTENT = scope_keys(SECRET)["content"]


def ends(digest, file_bytes, bundle_bytes):
    if bundle_bytes < 32 * KIB:
        return False
    return bundle_bytes > 256 * KIB or int.from_bytes(digest[:4], "big") * 98304 < file_bytes * 2**32


def end_case(comment, draw, file_bytes, bundle_bytes):
    digest = draw.to_bytes(4, "big") + bytes(12)
    return {"comment": comment, "hash": digest.hex(), "fileBytes": file_bytes, "bundleBytes": bundle_bytes, "ends": ends(digest, file_bytes, bundle_bytes)}


def hash_case(comment, content):
    return {"comment": comment, "scopeSecret": SECRET.hex(), "content": content.hex(), "contentHash": hmac256(CONTENT, content)[:16].hex()}


cases = [
    hash_case("content hash of nothing", b""),
    hash_case("content hash of a text", b"CoStor"),
    hash_case("content hash of 100 bytes", stream("bundles", 100)),
    end_case("the least draw does not end a bundle below the minimum", 0, 1000, 32 * KIB - 1),
    end_case("the least draw ends one that has it", 0, 1000, 32 * KIB),
    end_case("no draw is below a size of nothing", 0, 0, 100 * KIB),
    end_case("1 KiB in 96: the highest draw that ends", 44739242, KIB, 100 * KIB),
    end_case("and the lowest that does not", 44739243, KIB, 100 * KIB),
    end_case("a file of 96 KiB always ends it", 2**32 - 1, 96 * KIB, 100 * KIB),
    end_case("one byte less need not", 2**32 - 1, 96 * KIB - 1, 100 * KIB),
    end_case("at 256 KiB there is room for one more file", 2**32 - 1, 1, 256 * KIB),
    end_case("above there is not", 2**32 - 1, 1, 256 * KIB + 1),
]
write("bundles.json", "Content hashes and ends of bundles by docs/specs/bundles.md; made by make-bundles.py.", cases)
