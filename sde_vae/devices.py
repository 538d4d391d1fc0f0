"""Devices as one mesh: those that train, of all processes, and those of this process, on which functions of many examples run."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "devices"
Device = Any  # jax.Device, which type checkers take for a variable


def mesh_of(devices: list[Device]) -> Mesh:
    """Return the devices as a mesh with one axis, AXIS."""
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of an array that every device has whole."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """Return the sharding of an array whose first axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def training_devices() -> list[Device]:
    """Return the devices that share a batch: those of this process, or of all processes in their order, as their parts of a batch are."""
    if jax.process_count() == 1:
        return jax.local_devices()
    return sorted(jax.devices(), key=lambda device: (device.process_index, device.id))


def own_part(mesh: Mesh) -> Mesh:
    """Return the devices of this process, of a mesh over several."""
    return mesh_of([device for device in mesh.devices.flat if device.process_index == jax.process_index()])


def place(tree: Any, sharding: Callable[[Any], NamedSharding]) -> Any:
    """Return the arrays, each placed by sharding(array). Over several processes each has all of them, equal, and keeps its part.

    Keys are placed too.
    """

    def placed(a: Any, of: NamedSharding) -> jax.Array:
        if of.is_fully_addressable:
            return jax.device_put(a, of)
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(placed(jax.random.key_data(a), of), impl=jax.random.key_impl(a))
        host = np.asarray(a)
        return jax.make_array_from_callback(host.shape, of, lambda part: host[part])

    return jax.tree.map(lambda a: placed(a, sharding(a)), tree)


def whole_here(tree: Any, mesh: Mesh) -> Any:
    """Return arrays that are placed on a mesh over several processes, each whole on the devices of this one. All processes call it.

    What is whole here already shares its memory with the result.
    """
    here = replicated(own_part(mesh))

    def whole(a: jax.Array) -> jax.Array:
        parts = [part.data for part in jax.device_put(a, replicated(mesh)).addressable_shards]
        return jax.make_array_from_single_device_arrays(a.shape, here, parts)

    return jax.tree.map(whole, tree)


def replicate(tree: Any) -> Any:
    """Return the arrays, whole on every device of this host. Those that are there already are not moved.

    >>> replicate({"w": np.ones(3)})["w"].is_fully_replicated
    True
    """
    return jax.device_put(tree, replicated(mesh_of(jax.local_devices())))


def over_devices(function: Callable[..., Any], shared: int = 0) -> Callable[..., Any]:
    """Compile function(*shared, *rows) -> result to run on all devices of this host.

    The first `shared` arguments are trees of parameters and keys, best placed by `replicate`. The others, and the result, have examples
    on their first axis, which is split over the devices: the function may not depend on how many examples it is given at once. Where the
    devices do not divide their number, copies of the last one fill up.

    >>> double = over_devices(lambda w, x: w * x, shared=1)
    >>> double(2.0, np.arange(3.0)).tolist()
    [0.00, 2.00, 4.00]
    """
    mesh = mesh_of(jax.local_devices())
    compiled = _compiled(function, mesh)

    def run(*arguments: Any) -> Any:
        given, rows = arguments[:shared], arguments[shared:]
        n = len(jax.tree.leaves(rows)[0])
        if lacking := -n % mesh.size:
            rows = jax.tree.map(lambda a: np.concatenate([a, np.repeat(a[-1:], lacking, axis=0)]), rows)
        result = compiled(given, jax.device_put(rows, sharded(mesh)))
        return jax.tree.map(lambda a: a[:n], result) if lacking else result

    return run


def _compiled(function: Callable[..., Any], mesh: Mesh) -> Callable[[tuple, tuple], Any]:
    """Return the program (shared, rows) -> function(*shared, *rows), with the rows split over the devices."""

    def of_rows(shared: tuple, rows: tuple) -> Any:
        return function(*shared, *rows)

    # The name under which a profile and the compilation cache list the program.
    of_rows.__name__ = getattr(getattr(function, "func", function), "__name__", "of_rows")
    specs = (PartitionSpec(), PartitionSpec(AXIS))
    return jax.jit(jax.shard_map(of_rows, mesh=mesh, in_specs=specs, out_specs=specs[1], check_vma=False))
