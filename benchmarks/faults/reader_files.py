"""Whole files of every format that the package reads from others, and ways to spoil them."""

import gzip
import importlib.util
import io
import json
import pickle
import pickletools
import struct
import sys
import types
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy
from flax import serialization
from PIL import Image

Bytes = dict[str, bytes]


def arrays() -> dict[str, np.ndarray]:
    """Small arrays of several types."""
    return {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones((2, 3), np.float16), "n": np.asarray(3)}


def pickles() -> Bytes:
    """Pickles of nested dicts, of each protocol."""
    return {f"protocol {p}": pickle.dumps({"layer": arrays(), "step": 7, "rate": 0.5}, p) for p in (2, 3, 4, 5)}


def torch_files() -> Bytes:
    """Both formats of torch.save; empty where torch is missing."""
    try:
        import torch
    except ImportError:
        return {}
    state = {name: torch.from_numpy(np.array(array)) for name, array in arrays().items()}
    state["turned"], state["parameter"] = state["a"].T, torch.nn.Parameter(torch.ones(2))
    found = {}
    for name, zipped in (("zip", True), ("legacy", False)):
        stream = io.BytesIO()
        torch.save(state, stream, _use_new_zipfile_serialization=zipped)
        found[name] = stream.getvalue()
    return found


def strangers_file(tree: Callable[[type], dict], **how: object) -> bytes:
    """Return torch.save's file of tree(class), where the class is of a module that nobody has afterwards; it is a dict with a state."""
    import torch

    module = types.ModuleType("strangers")
    module.Callback = type("Callback", (dict,), {"__module__": "strangers"})  # type: ignore[attr-defined]
    sys.modules["strangers"] = module
    stream = io.BytesIO()
    try:
        torch.save(tree(module.Callback), stream, **how)
    finally:
        del sys.modules["strangers"]
    return stream.getvalue()


def training_tree(callback: type) -> dict:
    """What training frameworks keep beside the weights of a network: optimizers, callbacks of their own classes, counters, sets, text."""
    import torch

    stranger = callback(best=torch.ones(3), path="x.ckpt")
    stranger.state = {"mode": "min", "nested": callback()}
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {f"ema_model.{name}": p.detach().clone() for name, p in net.state_dict().items()}
    return {
        "epoch": 3,
        "version": "1.4.5",
        "state_dict": {**state, "x_T": torch.zeros(2, 3)},
        "callbacks": {callback: stranger, "early": [stranger, callback()], (1, 2.5): {1, 2}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "rng": tuple(range(625)),
        "counts": defaultdict(list, a=[1]),
        "ema": {"shadow_params": [p.detach().clone() for p in net.parameters()]},
        "hyper_parameters": {"name": "x", "betas": (0.9, 0.999), "kind": int, "nothing": None},
    }


def training_files() -> Bytes:
    """Files of a whole training, in both formats of torch.save and two protocols; empty where torch is missing."""
    if importlib.util.find_spec("torch") is None:
        return {}
    how = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}, "protocol 4": {"pickle_protocol": 4}}
    return {name: strangers_file(training_tree, **options) for name, options in how.items()}


def safetensors_files() -> Bytes:
    """A file of safetensors."""
    return {"safetensors": safetensors.numpy.save({name: np.atleast_1d(a) for name, a in arrays().items()})}


def msgpack_files() -> Bytes:
    """A checkpoint as flax.serialization writes it."""
    tree = {"step": 5, "optimizer": {"m": arrays(), "names": ["x", None, 1.5]}, "params_ema": arrays()}
    return {"msgpack": serialization.msgpack_serialize(tree)}


def npy_files() -> Bytes:
    """A .npy file of each version of the format, and an .npz file."""
    found = {}
    for version in ((1, 0), (2, 0), (3, 0)):
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.arange(12.0).reshape(3, 4), version=version)
        found[f"npy {version[0]}"] = stream.getvalue()
    return found


def moments_file() -> Bytes:
    """An .npz file of moments."""
    stream = io.BytesIO()
    np.savez_compressed(stream, n=np.asarray(4), mean=np.zeros(3), scatter=np.eye(3))
    return {"npz": stream.getvalue()}


def picture(format: str, mode: str) -> bytes:
    """A picture of 8x8."""
    stream, rng = io.BytesIO(), np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).convert(mode)
    image.save(stream, format)
    return stream.getvalue()


def pictures() -> Bytes:
    """PNG and JPEG, grey and in colour."""
    kinds = (("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("JPEG", "RGB"), ("JPEG", "L"))
    return {f"{mode}.{format.lower()}": picture(format, mode) for format, mode in kinds}


def table() -> Bytes:
    """An attributes.csv for the pictures of `archive`."""
    rows = "".join(f"{i:02d}.png,{i % 2},{20.5 + i}\n" for i in range(12))
    return {"csv": b"file,smiling,age\n" + rows.encode()}


def archive(method: int, csv: bytes = b"") -> bytes:
    """A zip of pictures, and an attributes.csv."""
    stream, data = io.BytesIO(), picture("PNG", "L")
    with zipfile.ZipFile(stream, "w", method) as file:
        for i in range(12):
            file.writestr(f"{i:02d}.png", data)
        if csv:
            file.writestr("attributes.csv", csv)
    return stream.getvalue()


def archives() -> Bytes:
    """Zips of pictures, packed and not."""
    csv = table()["csv"]
    return {
        "stored": archive(zipfile.ZIP_STORED),
        "deflated": archive(zipfile.ZIP_DEFLATED),
        "table": archive(zipfile.ZIP_DEFLATED, csv),
    }


def idx_files() -> Bytes:
    """An idx file of images."""
    data = b"\0\0\x08\x03" + struct.pack(">iii", 4, 5, 5) + bytes(100)
    return {"idx": data, "gz": gzip.compress(data, mtime=0)}


def rows() -> Bytes:
    """A metrics.jsonl."""
    return {"jsonl": "".join(json.dumps({"step": 10 * i, "loss": 1.5 / (i + 1)}) + "\n" for i in range(8)).encode()}


def config() -> Bytes:
    """The config.json of the packaged run."""
    return {"json": (Path(__file__).parents[2] / "sde_vae" / "runs" / "digits" / "config.json").read_bytes()}


# Numbers at which a size, a count or an offset goes wrong.
EDGES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = (
    *(b"nan", b"inf", b"-1", b"1e999", b"9" * 5000, b"9" * 30, b"[" * 3000, b"{" * 3000, b'"\\ud800"', b"\xff\xfe"),
    *(b"null", b"true", b"[]", b"{}", b"\x1b[31m", b"\0", b"\r\n", b"../x", b"\xe2\x80\xae", b"x" * 3000),
)


def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Flip one to eight bits."""
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return data


def cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Leave the end out, or a part."""
    start, length = rng.integers(len(data)), rng.integers(1, 64)
    return data[:start] if rng.random() < 0.5 else data[:start] + data[start + length :]


def splice(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Copy a part of the file to another place, many times now and then."""
    a, b, length = rng.integers(len(data)), rng.integers(len(data)), rng.integers(1, 64)
    return data[:b] + data[a : a + length] * int(rng.choice([1, 1, 2, 500])) + data[b:]


def number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Write a number at the edge of a type over some bytes, in either byte order."""
    width = int(rng.choice([1, 2, 4, 8]))
    value = int(rng.choice(np.asarray(EDGES, np.uint64))) & (256**width - 1)
    place = rng.integers(len(data))
    data[place : place + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")
    return data


def word(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Put a word that readers of text stumble over in the place of some bytes."""
    place, taken = rng.integers(len(data)), int(rng.choice([0, 1, 4, 16]))
    return data[:place] + bytearray(WORDS[rng.integers(len(WORDS))]) + data[place + taken :]


SPOIL: tuple[Callable[[bytearray, np.random.Generator], bytearray], ...] = (flip, cut, splice, number, word)


def spoilt(data: bytes, rng: np.random.Generator) -> bytes:
    """Spoil a file in one to three ways."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        changed = SPOIL[rng.integers(len(SPOIL))](changed, rng) or bytearray(b"\0")
    return bytes(changed)


OPERATIONS = [o for o in pickletools.opcodes if o.proto <= 5 and o.name not in ("STOP", "PROTO")]
GLOBALS = ("collections OrderedDict", "numpy dtype", "numpy.core.multiarray _reconstruct", "numpy ndarray", "os system")


def program(rng: np.random.Generator) -> bytes:
    """A pickle of random operations, most of them those that files of arrays use, with random arguments."""
    parts = [b"\x80" + bytes([rng.integers(2, 6)])]
    common = b"}](t\x85\x86\x87qhK)RbsueaQ0N\x88"
    for _ in range(rng.integers(5, 120)):
        if rng.random() < 0.9:
            code = common[rng.integers(len(common))]
            parts.append(bytes([code]) + (bytes([rng.integers(8)]) if code in b"qhK" else b""))
        elif rng.random() < 0.3:
            parts.append(b"c" + "\n".join(GLOBALS[rng.integers(len(GLOBALS))].split()).encode() + b"\n")
        elif rng.random() < 0.5:
            parts.append(b"X\x02\x00\x00\x00ab")
        else:
            operation = OPERATIONS[rng.integers(len(OPERATIONS))]
            parts.append(operation.code.encode("latin1") + rng.bytes(int(rng.integers(0, 9))))
    return b"".join([*parts, b"."])
