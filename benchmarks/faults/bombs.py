"""Small files made by hand that ask a reader for endless time or memory, by the format that they are of."""

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib

import msgpack
import numpy as np

from benchmarks.faults.reader_files import Bytes, archive, picture

HEAD = b"\x80\x02"
TEXT = lambda text: b"X" + struct.pack("<I", len(text)) + text
NUMBER = lambda n: b"\x8a" + bytes([len(b := n.to_bytes(n.bit_length() // 8 + 1, "little"))]) + b
# A tuple of the last one twice, 60 times: 2^60 leaves for whoever hashes, compares or shows it.
NESTED = b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(60))
SHARED = NESTED + b"h\x3c"
DTYPE = b"cnumpy\ndtype\n" + TEXT(b"f4") + b"\x89\x88\x87R"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + TEXT(b"b") + b"\x87R"
STATE = lambda shape, data: ARRAY + b"(K\x01" + shape + DTYPE + b"\x89" + data + b"tb"
LONG_TUPLE = b"(" + b"K\x01" * 20_000 + b"tq\x01"


def pickles() -> Bytes:
    """Pickles."""
    leaf = lambda value: HEAD + b"}" + TEXT(b"a") + value + b"s."
    big = b"\x8b" + struct.pack("<i", 42_000) + b"\x7f" * 42_000
    return {
        "nested tuples": leaf(SHARED),
        "nested tuples as a key": HEAD + b"}" + SHARED + b"K\x01s.",
        "nested tuples as the whole": HEAD + SHARED + b".",
        "nested tuples as a shape": leaf(STATE(SHARED, TEXT(b""))),
        "nested tuples as a type": leaf(b"cnumpy\ndtype\n" + SHARED + b"\x85R"),
        "nested tuples as a persistent id": HEAD + SHARED + b"Q.",
        "nested tuples as a function": HEAD + SHARED + b")R.",
        "nested tuples as a state": leaf(ARRAY + SHARED + b"b"),
        "nested tuples as pairs": HEAD + b"ccollections\nOrderedDict\n](" + SHARED + SHARED + b"\x86e\x85R.",
        "nested tuples as an encoding": HEAD + b"c_codecs\nencode\n" + TEXT(b"x") + SHARED + b"\x86R.",
        "a shape of a shape": leaf(STATE(b"K\x01\x85\x85", TEXT(b""))),
        "a number of 100,000 digits": leaf(big),
        "a shape of such numbers": leaf(STATE(big + b"\x85", TEXT(b""))),
        "a number of 100,000 digits in text": leaf(b"L" + b"9" * 100_000 + b"L\n"),
        "a long shape": leaf(STATE(b"(" + b"J\xff\xff\xff\x7f" * 20_000 + b"t", TEXT(b""))),
        "a shape of 2^63": leaf(STATE(NUMBER(2**63) + b"\x85", TEXT(b""))),
        "an empty array of 2^62 rows": leaf(STATE(NUMBER(2**62) + b"K\x00\x86", TEXT(b""))),
        "a long tuple called again and again": HEAD
        + LONG_TUPLE
        + b"cnumpy.core.multiarray\n_reconstruct\nq\x02"
        + b"h\x02h\x01R0" * 20_000
        + b".",
        "memo 2^32": HEAD + b"}r\xff\xff\xff\xff.",
        "2^31 bytes": b"\x80\x04B\xff\xff\xff\x7f.",
        "2^62 bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
        "deep lists": HEAD + b"]" * 20_000 + b"a" * 19_999 + b".",
        "deep dicts": HEAD + b"}" + b"".join(TEXT(b"a") + b"}" for _ in range(10_000)) + b"s" * 10_000 + b".",
        "a name of a megabyte again and again": HEAD
        + b"}"
        + TEXT(b"x" * 10**6)
        + b"}("
        + b"".join(TEXT(b"%d" % i) + b"K\x01" for i in range(10_000))
        + b"us.",
        "a long name of a function": HEAD + b"c" + b"m" * 10**6 + b"\n" + b"\x1b" * 10**5 + b"\n.",
        "an escape as a key": HEAD + b"}" + TEXT(b"\x1b[2J\n") + b"]s.",
        "dicts in dicts": _doubled({}),
        "lists in lists": _doubled([]),
    }


def _doubled(leaf: dict | list) -> bytes:
    for _ in range(60):
        leaf = {"a": leaf, "b": leaf} if isinstance(leaf, dict) else [leaf, leaf]
    return pickle.dumps(leaf)


def torch_zips() -> Bytes:
    """Archives as torch writes them."""
    inner = pickles()
    files = {f"{name}, in a zip": _zip({"x/data.pkl": data}) for name, data in inner.items()}
    storage = b"(" + TEXT(b"storage") + b"ctorch\nFloatStorage\n" + TEXT(b"0") + TEXT(b"cpu")
    tensor = lambda size, shape, stride: (
        HEAD + b"}" + TEXT(b"a") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + size + b"tQK\x00" + shape + stride
        + b"\x89NtRs."
    )  # fmt: skip
    cases = {
        "a storage of 2^62": tensor(NUMBER(2**62), b"K\x01\x85", b"K\x01\x85"),
        "sizes of 2^62": tensor(b"K\x01", NUMBER(2**62) * 2 + b"\x86", b"K\x00K\x00\x86"),
        "nested sizes": tensor(b"K\x01", SHARED, b"K\x00\x85"),
        "a thousand sizes": tensor(b"K\x01", b"(" + b"K\x01" * 1000 + b"t", b"(" + b"K\x00" * 1000 + b"t"),
        "65 sizes of nothing": tensor(b"K\x01", b"(" + b"K\x00" * 60 + b"t", b"(" + b"K\x00" * 60 + b"t"),
        "a nested persistent id": HEAD + b"(" + TEXT(b"storage") + SHARED * 2 + b"K\x01K\x01tQ.",
    }
    files |= {name: _zip({"x/data.pkl": data, "x/data/0": bytes(4)}) for name, data in cases.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/data.pkl", bytes(10**8))
    return files | {"a zip bomb": stream.getvalue(), "overlapping entries": _overlapping(20_000)}


def safetensors_files() -> Bytes:
    """Headers of safetensors."""
    head = lambda text, size=None: struct.pack("<Q", len(text) if size is None else size) + text
    entry = lambda shape: json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    return {
        "a header of 2^63": head(b"{}", 2**63),
        "a header of a gigabyte": head(b"{}" + b" " * 100, 10**9),
        "a deep header": head(b'{"a":' + b"[" * 100_000),
        "a deep header of metadata": head(b'{"__metadata__":' + b'{"a":' * 50_000),
        "a shape of 2^64": head(entry([2**64])),
        "a product of 2^64": head(entry([2**32, 2**32])),
        "a long shape": head(entry([0] * 100_000)),
        "100,000 digits": head(b'{"a":{"dtype":"F32","shape":[' + b"9" * 100_000 + b'],"data_offsets":[0,0]}}'),
        "names with escapes": head(b'{"\\u001b[2J\\n":{"dtype":"F4","shape":[0],"data_offsets":[0,0]}}'),
        "a long name": head(b'{"' + b"x" * 10**6 + b'":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    }


def msgpack_files() -> Bytes:
    """Flax checkpoints."""
    array_of = lambda *of: msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb(of, use_bin_type=True))})
    return {
        "a map of 2^32 items": b"\xdf\xff\xff\xff\xff",
        "a text of 2^32 bytes": b"\x81\xdb\xff\xff\xff\xff",
        "an extension of 2^32 bytes": b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
        "a list of 2^32 items": b"\x81\xa1a\xdd\xff\xff\xff\xff",
        "too deep": b"\x81\xa1a" * 2000 + b"\xc0",
        "a name too long": b"\x81\xda\x10\x00" + b"a" * 4096 + b"\xc0",
        "too many values": b"\x81\xa1a\xdc\x03\xe8" + b"\xc0" * 1000,
        "one name twice": b"\x82\xa1a\xc0\xa1a\xc0",
        "a key that is a number": b"\x81\x05\xc0",
        "an unused byte": b"\x81\xa1a\xc1",
        "bytes after the end": b"\x81\xa1a\xc0\xc0",
        "no bytes": b"",
        "text that is none": b"\x81\xa1\xff\xc0",
        "too few bytes for the shape": array_of((2, 2), "float32", bytes(12)),
        "a huge shape": array_of((2**62, 2**62), "float32", b""),
        "a negative length": array_of((-1,), "float32", b""),
        "a type of objects": array_of((1,), "object", bytes(8)),
        "no type": array_of((1,), None, bytes(8)),
        "no shape": array_of(None, "float32", bytes(4)),
        "text for bytes": array_of((4,), "int8", "abcd"),
        "more than an array": msgpack.packb({"w": msgpack.ExtType(1, msgpack.packb(((), "int8", b"a")) + b"b")}),
    }


def npy_files() -> Bytes:
    """Headers of .npy files."""
    header = lambda text: b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    shape = lambda text: header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + text + b"), }\n")
    return {
        "2^40 rows": shape(b"1099511627776,"),
        "2^62 rows": shape(b"4611686018427387904,"),
        "2^33 rows": shape(b"8589934592,"),
        "a negative shape": shape(b"-1,"),
        "4,000 digits": shape(b"9" * 4000 + b","),
        "5,000 digits": shape(b"9" * 5000 + b","),
        "deep": shape(b"(" * 5000 + b")" * 5000),
        "objects": header(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n") + pickle.dumps(1),
        "a header of 2^32": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}",
    }


def npz_files() -> Bytes:
    """The same headers, in a zip, and a zip bomb."""
    files = {name: _zip({"n.npy": data, "mean.npy": data, "scatter.npy": data}) for name, data in npy_files().items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("n.npy", _npy(np.asarray(4)))
        file.writestr("mean.npy", _npy(np.zeros(1)) + bytes(10**8))
    return files | {"a zip bomb": stream.getvalue()}


def archives() -> Bytes:
    """Zips of pictures."""
    files = {
        "no name": _zip({"": b"x"}),
        "control characters": _zip({"\x1b[2J\n.png": picture("PNG", "L")}),
        "out of it": _zip({"../x.png": picture("PNG", "L")}),
        "ten thousand names": _zip({f"{i}.png": b"" for i in range(10_000)}),
        "a deep folder": _zip({"a/" * 5000 + "x.png": picture("PNG", "L")}),
        "overlapping entries": _overlapping(20_000),
        "an unknown version": _patched(b"PK\x01\x02", 6, b"\xff\x00"),
        "an unknown method": _patched(b"PK\x01\x02", 10, b"\x62\x00"),
        "not UTF-8": _patched(b"PK\x01\x02", 8, b"\x00\x08", (b"00.png", b"\xff\xfe.png")),
        "a huge comment": archive(zipfile.ZIP_STORED)[:-2] + b"\xff\xff",
    }
    return files | {f"a zip with {name}": _zip({"a.png": data, "b.png": data}) for name, data in pictures().items()}


def pictures() -> Bytes:
    """Pictures that declare more than they hold."""
    head = lambda w, h: _chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
    png = lambda w, h, data: b"\x89PNG\r\n\x1a\n" + head(w, h) + _chunk(b"IDAT", zlib.compress(data)) + _chunk(b"IEND")
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))
    small = picture("PNG", "L")
    jpeg = bytearray(picture("JPEG", "L"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = b"\xff\xff\xff\xff"
    return {
        "a PNG of 2^31 square": png(2**31 - 1, 2**31 - 1, b""),
        "a PNG of 8,000 square": png(8000, 8000, b""),
        "a PNG of 2^26 by 1": png(2**26, 1, bytes(3 * 2**26 + 1)),
        "a PNG of nothing": png(0, 0, b""),
        "text of 100 MB": small[:33] + text + small[33:],
        "a JPEG of 65,535 square": bytes(jpeg),
    }


def tables() -> Bytes:
    """attributes.csv."""
    return {
        "nothing": b"",
        "an endless quote": b'file,a\n"' + b"x" * 200_000,
        "a long number": b"file,a\n00.png," + b"9" * 100_000,
        "many columns": b"file" + b",a" * 100_000,
        "control characters": b"file,\x1b[2J\n00.png,1\n",
        "NUL": b"file,a\n\0.png,1\n",
        "not finite": b"file,a\n00.png,nan\n",
        "UTF-16": "file,a\n00.png,1\n".encode("utf-16"),
        "carriage returns": b"file,a\r" * 50_000,
    }


def idx_files() -> Bytes:
    """idx files."""
    head = lambda *shape: b"\0\0\x08\x03" + struct.pack(">iii", *shape)
    zeros = head(2**10, 2**10, 2**10) + bytes(10**6)
    return {
        "2^93": head(2**31 - 1, 2**31 - 1, 2**31 - 1),
        "2^30": head(2**10, 2**10, 2**10),
        "a negative shape": head(-1, -1, 4),
        "a gzip bomb": gzip.compress(head(4, 5, 5) + bytes(10**8), mtime=0),
        "a gigabyte, in gzip": gzip.compress(zeros, mtime=0),
        "a huge name in gzip": b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 10**6,
    }


def texts() -> Bytes:
    """JSON."""
    return {
        "deep lists": b'{"step": ' + b"[" * 100_000,
        "deep dicts": b'{"a":' * 100_000,
        "100,000 digits": b'{"step": ' + b"9" * 100_000 + b"}",
        "1e999": b'{"step": 1, "loss": 1e999}',
        "a list": b"[1, 2]",
        "null": b"null",
        "not UTF-8": b'{"step": 1, "a\xff": 2}',
        "a surrogate": b'{"config": {"method": "\\ud800"}, "step": 1, "\\ud800": 1}',
        "NUL": bytes(100),
        "another type": b'{"config": {"method": [], "seed": {}, "data": 3}}',
        "control characters": b'{"config": {"\\u001b[2J": 1}}',
    }


def _chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _zip(files: Bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in files.items():
            file.writestr(zipfile.ZipInfo(name), data)
    return stream.getvalue()


def _overlapping(count: int) -> bytes:
    """A zip whose entries all have the bytes of the first one."""
    data = _zip({"000000.png": picture("PNG", "L")})
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = b"".join(data[start:end].replace(b"000000.png", b"%06d.png" % i) for i in range(count))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    return data[:start] + entries + tail


def _patched(mark: bytes, offset: int, new: bytes, renamed: tuple[bytes, bytes] = (b"", b"")) -> bytes:
    """A zip of pictures with some bytes of its first entry in the directory changed."""
    data = archive(zipfile.ZIP_STORED)
    if renamed[0]:
        data = data.replace(*renamed)
    place = data.index(mark) + offset
    return data[:place] + new + data[place + len(new) :]
