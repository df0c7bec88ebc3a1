"""Makes bundles.json by docs/specs/bundles.md, independently of the code: python3 test/vectors/make-bundles.py"""
import binascii

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from reference import scope_keys, stream, write

KIB = 1024
SECRET = bytes(range(32))
BUNDLING = scope_keys(SECRET)["bundling"]


def draw(content):
    block = binascii.crc32(content).to_bytes(4, "big") + len(content).to_bytes(4, "big") + bytes(8)
    return int.from_bytes(Cipher(algorithms.AES(BUNDLING), modes.ECB()).encryptor().update(block)[:4], "big")


def ends(drawn, file_bytes, bundle_bytes):
    if bundle_bytes < 32 * KIB:
        return False
    return bundle_bytes > 256 * KIB or drawn * 98304 < file_bytes * 2**32


def end_case(comment, drawn, file_bytes, bundle_bytes):
    return {"comment": comment, "draw": drawn, "fileBytes": file_bytes, "bundleBytes": bundle_bytes, "ends": ends(drawn, file_bytes, bundle_bytes)}


def draw_case(comment, content):
    return {"comment": comment, "scopeSecret": SECRET.hex(), "content": content.hex(), "draw": draw(content)}


cases = [
    draw_case("draw of nothing", b""),
    draw_case("draw of a text", b"CoStor"),
    draw_case("draw of 100 bytes", stream("bundles", 100)),
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
write("bundles.json", "Draws and ends of bundles by docs/specs/bundles.md; made by make-bundles.py.", cases)
