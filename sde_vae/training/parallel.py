"""Run one update on all devices, of one process or of several, in one of three modes that give the same numbers.

    pmap    jax.pmap: gradients are averaged by the pmean in the update
    data    jax.jit over a mesh: the batch is sharded, the state is replicated
    fsdp    jax.jit over a mesh: the state is sharded too, each array along its longest dimension that the number of
            devices divides; a step gathers the parameters, and each device updates its share

The state has no device axis in any mode. It is donated: a step overwrites the state that it was given, and memory holds one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sde_vae.devices import AXIS, Device, mesh_of, own_part, place, replicated, sharded, whole_here
from sde_vae.errors import BadInput, choose
from sde_vae.training.train_state import Parts, TrainState, Update, joined
from sde_vae.types import Batch, Metrics, Params, PRNGKey

# MakeParts(axis_name or None) -> the parts of the pure update: see train_state.make_parts.
MakeParts = Callable[[str | None], Parts]


class Parallel(NamedTuple):
    """Four functions. A step moves nothing but the gradients, if what it takes was placed once before.

    place(tree)                      state, frozen parameters and key, placed as `update` takes and returns them
    place_batch(batch)               a host batch, this process's part of the global one, each device with its part
    update(state, frozen, key, batch) -> (state, metrics), all placed; the given state cannot be used again
    whole(tree)                      what `place` or `update` returned, on devices of this process alone; all processes call it
    """

    place: Callable[[Any], Any]
    place_batch: Callable[[Batch], Batch]
    update: Update
    whole: Callable[[Any], Any]


def parallelise(
    make_parts: MakeParts,
    mode: str,
    batch_size: int,
    devices: list[Device],
    field: str = "batch_size",
    accumulation: int = 1,
) -> Parallel:
    """Return the update on `devices` in one of the modes "pmap", "data" and "fsdp".

    Raises BadInput for an unknown mode, and for a batch size, of the config field `field`, that the number of devices does not
    divide, or that number times the `accumulation` of the update.
    """
    run = choose("config.parallel", mode, {"pmap": _pmap, "data": _data, "fsdp": _fsdp})
    require_divisible(batch_size, len(devices), field, accumulation)
    return run(make_parts, mesh_of(devices))


def require_divisible(batch_size: int, devices: int, field: str, accumulation: int = 1) -> None:
    """Raise BadInput, naming `field`, for a batch size that the number of devices, times that of the parts of each, does not divide."""
    if batch_size % (parts := devices * accumulation):
        if accumulation == 1:
            raise BadInput(
                f"{field}: got {batch_size}, which {devices} devices do not divide; take a multiple of {devices}"
            )
        raise BadInput(
            f"{field}: got {batch_size}, which {devices} device{'s' * (devices > 1)} times an accumulation of {accumulation} do not divide; "
            f"take a multiple of {parts}, or another accumulation"
        )


def _pmap(make_parts: MakeParts, mesh: Mesh) -> Parallel:
    update = jax.pmap(
        joined(make_parts(AXIS)),
        axis_name=AXIS,
        in_axes=(None, None, None, 0),
        out_axes=None,
        devices=list(mesh.devices),
        donate_argnums=0,
    )
    # Over several processes pmap takes and returns what each has on its own devices.
    here = own_part(mesh)

    def place_batch(batch: Batch) -> Batch:
        parts = jax.tree.map(lambda a: np.reshape(a, (here.size, -1, *np.shape(a)[1:])), batch)
        return jax.device_put(parts, sharded(here))

    return Parallel(partial(jax.device_put, device=replicated(here)), place_batch, update, lambda tree: tree)


def _data(make_parts: MakeParts, mesh: Mesh) -> Parallel:
    return _over_mesh(make_parts, mesh, lambda a: replicated(mesh))


def _fsdp(make_parts: MakeParts, mesh: Mesh) -> Parallel:
    return _over_mesh(make_parts, mesh, lambda a: NamedSharding(mesh, longest_divisible(np.shape(a), mesh.size)))


def _over_mesh(make_parts: MakeParts, mesh: Mesh, sharding: Callable[[Any], NamedSharding]) -> Parallel:
    """Return the update as one program over the mesh, with each array of the state placed by sharding(array), and the batch sharded.

    The gradients are a program of each device, and the pmean in it averages: the compiler takes minutes to find a partition for the
    convolutions of a gradient of a gradient. What is left is elementwise but for a norm, and the compiler splits it as the state is.
    """
    gradients, apply = make_parts(AXIS)
    whole, rows = PartitionSpec(), PartitionSpec(AXIS)
    on_each = jax.shard_map(
        gradients, mesh=mesh, in_specs=(whole, whole, whole, whole, rows), out_specs=whole, check_vma=False
    )

    def split(tree: Any) -> Any:
        return jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, sharding(a)), tree)

    @partial(jax.jit, donate_argnums=0)
    def update(state: TrainState, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[TrainState, Metrics]:
        gradients, metrics = on_each(state.params, state.step, frozen, key, batch)
        state, metrics = apply(state, split(gradients), metrics)
        return split(state), jax.lax.with_sharding_constraint(metrics, replicated(mesh))

    return Parallel(lambda tree: place(tree, sharding), _place_rows(mesh), update, _whole(mesh))


def _place_rows(mesh: Mesh) -> Callable[[Batch], Batch]:
    """Return a function that places this process's rows of a batch, whose first axis is split over all devices."""
    return partial(jax.make_array_from_process_local_data, sharded(mesh))


def _whole(mesh: Mesh) -> Callable[[Any], Any]:
    """Return the function `whole` of a mode whose arrays are placed on the mesh."""
    return (lambda tree: tree) if own_part(mesh).size == mesh.size else partial(whole_here, mesh=mesh)


def longest_divisible(shape: tuple[int, ...], devices: int) -> PartitionSpec:
    """Return the partition along the longest dimension that `devices` divides; the other dimensions are not split.

    >>> tuple(longest_divisible((3, 16, 8), 4))
    (None, 'devices', None)
    """
    candidates = [i for i, n in enumerate(shape) if n >= devices and n % devices == 0]
    if not candidates:
        return PartitionSpec()
    longest = max(candidates, key=lambda i: shape[i])
    return PartitionSpec(*(AXIS if i == longest else None for i in range(len(shape))))
