"""Stop on all processes after the same step, when a signal has reached one of them."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.devices import Device, mesh_of, own_part, replicated, sharded

# Steps between a request and the stop, so that no step waits for the others to answer.
LAG = 2


class SharedStop:
    """Whether any process has been asked to stop. All call `after_step` after each step, and get the same answer."""

    def __init__(self, devices: list[Device]):
        self._mesh = mesh_of(devices)
        self._own = own_part(self._mesh).size
        self._answers: deque[jax.Array] = deque()
        self._any = jax.jit(jnp.max, out_shardings=replicated(self._mesh))

    def after_step(self, requested: bool) -> bool:
        """Return whether any process had requested a stop LAG steps ago; of one process, whether it does now."""
        if self._own == self._mesh.size:
            return requested
        flags = np.full(self._own, requested, np.int32)
        self._answers.append(self._any(jax.make_array_from_process_local_data(sharded(self._mesh), flags)))
        return len(self._answers) > LAG and bool(jax.device_get(self._answers.popleft()))
