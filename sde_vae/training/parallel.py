"""Run one update on all devices, in one of three modes that give the same numbers.

    pmap    jax.pmap: gradients are averaged by the pmean in the update
    data    jax.jit over a mesh: the batch is sharded, the state is replicated
    fsdp    jax.jit over a mesh: between steps the state is sharded too, each array along its longest dimension that the
            number of devices divides; a step gathers it

The state has no device axis in any mode. `place` takes a host batch of the global size and puts each part on its device.
`update` takes the result.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from sde_vae.errors import BadInput, choose
from sde_vae.training.train_state import TrainState, Update
from sde_vae.types import Batch, Metrics, Params, PRNGKey

AXIS = "devices"
Device = Any  # jax.Device, which type checkers take for a variable
# MakeUpdate(axis_name or None) -> the pure update: see train_state.make_update.
MakeUpdate = Callable[[str | None], Update]


class Parallel(NamedTuple):
    """Two functions: place(host batch) -> placed batch, and update(state, frozen, key, placed batch) -> (state, metrics)."""

    place: Callable[[Batch], Batch]
    update: Update


def parallelise(
    make_update: MakeUpdate, mode: str, batch_size: int, devices: list[Device], field: str = "batch_size"
) -> Parallel:
    """Return the update on `devices` in one of the modes "pmap", "data" and "fsdp".

    Raises BadInput for an unknown mode, and for a batch size, of the config field `field`, that the number of devices does not
    divide.
    """
    run = choose("config.parallel", mode, {"pmap": _pmap, "data": _data, "fsdp": _fsdp})
    if batch_size % len(devices):
        raise BadInput(
            f"{field}: got {batch_size}, which {len(devices)} devices do not divide; take a multiple of {len(devices)}"
        )
    return run(make_update, devices)


def _pmap(make_update: MakeUpdate, devices: list[Device]) -> Parallel:
    update = jax.pmap(make_update(AXIS), axis_name=AXIS, in_axes=(None, None, None, 0), out_axes=None, devices=devices)

    sharded = NamedSharding(_mesh(devices), PartitionSpec(AXIS))

    def place(batch: Batch) -> Batch:
        parts = jax.tree.map(lambda a: np.reshape(a, (len(devices), -1, *np.shape(a)[1:])), batch)
        return jax.device_put(parts, sharded)

    return Parallel(place, update)


def _mesh(devices: list[Device]) -> Mesh:
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def _over_mesh(make_update: MakeUpdate, mesh: Mesh) -> Update:
    """Return the per-device update as one program over the mesh, with the state replicated and the batch sharded.

    The pmean in the update averages. The partition is given, because the compiler takes minutes to find one for the convolutions
    of a gradient of a gradient.
    """
    replicated, sharded = PartitionSpec(), PartitionSpec(AXIS)
    return jax.shard_map(
        make_update(AXIS),
        mesh=mesh,
        in_specs=(replicated, replicated, replicated, sharded),
        out_specs=replicated,
        check_vma=False,
    )


def _data(make_update: MakeUpdate, devices: list[Device]) -> Parallel:
    mesh = _mesh(devices)
    replicated, sharded = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(AXIS))
    update = jax.jit(
        _over_mesh(make_update, mesh),
        in_shardings=(replicated, replicated, replicated, sharded),
        out_shardings=(replicated, replicated),
    )
    return Parallel(lambda batch: jax.device_put(batch, sharded), update)


def _fsdp(make_update: MakeUpdate, devices: list[Device]) -> Parallel:
    mesh = _mesh(devices)
    update = _over_mesh(make_update, mesh)
    replicated, sharded = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(AXIS))

    def sharding(a: jax.Array) -> NamedSharding:
        return NamedSharding(mesh, longest_divisible(a.shape, len(devices)))

    @jax.jit
    def gathered(state: TrainState, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[TrainState, Metrics]:
        state, metrics = update(state, frozen, key, batch)
        return jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, sharding(a)), state), metrics

    def run(state: TrainState, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[TrainState, Metrics]:
        # Arrays that have this sharding already are not moved.
        state, frozen = jax.tree.map(lambda a: jax.device_put(a, sharding(a)), (state, frozen))
        return gathered(state, frozen, jax.device_put(key, replicated), batch)

    return Parallel(lambda batch: jax.device_put(batch, sharded), run)


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
