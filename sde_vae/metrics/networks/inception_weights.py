"""Read the weights of the FID's Inception-v3 from a user's file.

Three layouts are read: the state dict of pytorch-fid (torch-fidelity publishes the same bytes), the pickle of jax-fid, which has
the same arrays under other names, and safetensors under the state dict's names. All are converted to the names and the layout of
the state dict (kernels OIHW). One digest then identifies the weights, whatever the file.
"""

import functools
import hashlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.errors import BadInput, shortened
from sde_vae.metrics.networks.inception import BN_EPSILON, CLASSES, FEATURES, SIDE, Inception
from sde_vae.pretrained.arrays import read_arrays
from sde_vae.types import Params

State = dict[str, np.ndarray]

# SHA-256 of the two published files, which hold the same network.
PUBLISHED = {
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2": "pt_inception-2015-12-05-6726825d.pth",
    "4e030efa5bccac3222d975f658d1884f9e00fab24f2812082884539220b90d77": "inception_v3_weights_fid.pickle",
}
HEAD = {"fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}
STATISTICS = ("weight", "bias", "running_mean", "running_var")  # gamma, beta and the two moments
JAX_FID = {
    "conv/kernel": "conv.weight",
    "bn/scale": "bn.weight",
    "bn/bias": "bn.bias",
    "bn/mean": "bn.running_mean",
    "bn/var": "bn.running_var",
    "fc/kernel": "fc.weight",
    "fc/bias": "fc.bias",
}


def read_state(path: Path) -> State:
    """Return the arrays of the network, float32. A head of classes is checked and left out: the features do not need it.

    Raises BadInput for an array that is missing, unknown, of another shape or not of finite floats. The error names the file
    and the array, by the state dict's name and with its shape in the state dict's layout.
    """
    state = read_arrays(path)
    if any("/" in name for name in state):
        state = _from_jax_fid(state)
    # The features do not need the counters of training steps and the auxiliary classifier.
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked") and not k.startswith("AuxLogits.")}
    body = body_shapes()
    head = HEAD if any(name in state for name in HEAD) else {}
    for name, shape in (body | head).items():
        _check(path, state, name, shape)
    if unknown := sorted(set(state) - set(body) - set(head)):
        raise BadInput(
            f"{path}: {shortened(repr(unknown[0]))} ({len(unknown)} such arrays) has no place in the FID's Inception-v3"
        )
    return {name: state[name].astype(np.float32) for name in body}


def fold(body: State) -> Params:
    """Return the parameters of the network, with each normalisation folded into its convolution, in float64."""
    params: dict = {}
    for name in body:
        if not name.endswith(".conv.weight"):
            continue
        place = name.removesuffix(".conv.weight")
        gamma, beta, mean, variance = (body[f"{place}.bn.{s}"].astype(np.float64) for s in STATISTICS)
        scale = gamma / np.sqrt(variance + BN_EPSILON)
        node = params
        for module in place.split("."):
            node = node.setdefault(module, {})
        node["kernel"] = jnp.asarray(body[name].transpose(2, 3, 1, 0) * scale[None, None, None, :], jnp.float32)
        node["bias"] = jnp.asarray(beta - mean * scale, jnp.float32)
    return {"params": params}


def digest(state: State) -> str:
    """Return the SHA-256 of the arrays, of each one's name, shape and float32 bytes in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(state):
        sha.update(f"{name} {list(state[name].shape)}\n".encode())
        sha.update(np.ascontiguousarray(state[name], dtype="<f4").tobytes())
    return sha.hexdigest()


@functools.cache
def body_shapes() -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the state dict without its head: a kernel and four vectors for every convolution."""
    images = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32)
    variables = jax.eval_shape(Inception().init, jax.random.key(0), images)
    shapes = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables["params"]):
        *modules, name = (key.key for key in path)
        if name == "kernel":
            place = ".".join(modules)
            height, width, inputs, outputs = leaf.shape
            shapes[f"{place}.conv.weight"] = (outputs, inputs, height, width)
            shapes |= {f"{place}.bn.{s}": (outputs,) for s in STATISTICS}
    return shapes


def _check(path: Path, state: State, name: str, shape: tuple[int, ...]) -> None:
    """Raise BadInput unless the array `name` is there, has this shape, and holds finite floats."""
    advice = f"the file must hold the FID's Inception-v3, such as {next(iter(PUBLISHED.values()))}"
    if name not in state:
        raise BadInput(f"{path}: array {name!r}, of shape {list(shape)}, is missing; {advice}")
    array = state[name]
    if array.shape != shape:
        raise BadInput(f"{path}: array {name!r}: expected shape {list(shape)}, found {list(array.shape)}; {advice}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise BadInput(f"{path}: array {name!r}: expected floats, found {array.dtype}; {advice}")
    # NaN is not below anything.
    if not np.all(np.abs(array) <= np.finfo(np.float32).max) or (name.endswith("running_var") and np.min(array) < 0):
        raise BadInput(
            f"{path}: array {name!r}: expected finite values, and variances from zero up; fetch the file again"
        )


def _from_jax_fid(arrays: State) -> State:
    """Convert jax-fid's nested names and HWIO kernels to those of the state dict. Unknown names are kept, to be refused by name.

    jax-fid does not use its head and gives it 1000 classes. A head that is not the FID's is left out.
    """
    state = {}
    for name, array in arrays.items():
        *modules, group, leaf = f"/{name}".split("/")
        tail = f"{group}/{leaf}"
        state[".".join((*modules, JAX_FID.get(tail, tail))).lstrip(".")] = (
            array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        )
    if "fc.weight" in state and state["fc.weight"].shape != HEAD["fc.weight"]:
        state = {name: array for name, array in state.items() if name not in HEAD}
    return state
