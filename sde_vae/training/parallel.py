"""Running one update over all devices: three ways, the same numbers.

    pmap    jax.pmap, gradients averaged by the one pmean in the update
    data    jax.jit over a mesh: the batch is sharded, the state replicated
    fsdp    jax.jit over a mesh: between steps the state is sharded too, each array along its longest dimension that
            divides; a step gathers it

The state has no device axis in any of them. The caller hands over host batches of the global size to `place`, which puts each
part on its device, and what comes back to `update`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from sde_vae.errors import BadInput, choose
from sde_vae.training.train_state import TrainState, Update
from sde_vae.types import Batch, Metrics, Params, PRNGKey

AXIS = "devices"
# Given axis_name (or None), the pure update: see train_state.make_update.
MakeUpdate = Callable[[str | None], Update]


class Parallel(NamedTuple):
    """place(host batch) -> batch on the devices; update(state, frozen, key, placed batch) -> (state, metrics)."""

    place: Callable[[Batch], Batch]
    update: Update


def parallelise(
    make_update: MakeUpdate, mode: str, batch_size: int, devices: list[jax.Device], field: str = "batch_size"
) -> Parallel:
    """The update over `devices`.

    Raises BadInput for an unknown mode, and for a batch size (named `field`) that the devices do not divide.
    """
    run = choose("config.parallel", mode, {"pmap": _pmap, "data": _data, "fsdp": _fsdp})
    if batch_size % len(devices):
        raise BadInput(
            f"{field}: got {batch_size}, which {len(devices)} devices do not divide; take a multiple of {len(devices)}"
        )
    return run(make_update, devices)


def _pmap(make_update: MakeUpdate, devices: list[jax.Device]) -> Parallel:
    update = jax.pmap(make_update(AXIS), axis_name=AXIS, in_axes=(None, None, None, 0), out_axes=None, devices=devices)

    split = NamedSharding(_mesh(devices), PartitionSpec(AXIS))

    def place(batch: Batch) -> Batch:
        parts = jax.tree.map(lambda a: np.reshape(a, (len(devices), -1, *np.shape(a)[1:])), batch)
        return jax.device_put(parts, split)

    return Parallel(place, update)


def _mesh(devices: list[jax.Device]) -> Mesh:
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def _over_mesh(make_update: MakeUpdate, mesh: Mesh) -> Update:
    """The per-device update as one program over the mesh: state whole, batch split, averages by the pmean in the update.

    The partition is stated rather than left to the compiler, which takes minutes to find one for the convolutions of a gradient
    of a gradient.
    """
    whole, split = PartitionSpec(), PartitionSpec(AXIS)
    return jax.shard_map(
        make_update(AXIS), mesh=mesh, in_specs=(whole, whole, whole, split), out_specs=whole, check_vma=False
    )


def _data(make_update: MakeUpdate, devices: list[jax.Device]) -> Parallel:
    mesh = _mesh(devices)
    whole, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(AXIS))
    update = jax.jit(
        _over_mesh(make_update, mesh), in_shardings=(whole, whole, whole, split), out_shardings=(whole, whole)
    )
    return Parallel(lambda batch: jax.device_put(batch, split), update)


def _fsdp(make_update: MakeUpdate, devices: list[jax.Device]) -> Parallel:
    mesh = _mesh(devices)
    update = _over_mesh(make_update, mesh)
    whole, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(AXIS))

    def sharding(a: jax.Array) -> NamedSharding:
        return NamedSharding(mesh, longest_divisible(a.shape, len(devices)))

    @jax.jit
    def gathered(state: TrainState, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[TrainState, Metrics]:
        state, metrics = update(state, frozen, key, batch)
        return jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, sharding(a)), state), metrics

    def run(state: TrainState, frozen: Params, key: PRNGKey, batch: Batch) -> tuple[TrainState, Metrics]:
        # What lies so already is not moved.
        state, frozen = jax.tree.map(lambda a: jax.device_put(a, sharding(a)), (state, frozen))
        return gathered(state, frozen, jax.device_put(key, whole), batch)

    return Parallel(lambda batch: jax.device_put(batch, split), run)


def longest_divisible(shape: tuple[int, ...], devices: int) -> PartitionSpec:
    """Split the longest dimension that `devices` divides; leave the rest whole."""
    candidates = [i for i, n in enumerate(shape) if n >= devices and n % devices == 0]
    if not candidates:
        return PartitionSpec()
    longest = max(candidates, key=lambda i: shape[i])
    return PartitionSpec(*(AXIS if i == longest else None for i in range(len(shape))))
