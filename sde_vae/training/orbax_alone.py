"""orbax without its meetings of all processes: the first writes whole arrays, and each reads for itself."""

import jax
import orbax.checkpoint as ocp


def alone() -> ocp.options.MultiprocessingOptions:
    """Return the options under which this process reads or writes without the others."""
    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"of{me}")


def reader() -> ocp.Checkpointer:
    """Return a reader of checkpoints with several items."""
    options = alone()
    handler = ocp.CompositeCheckpointHandler(composite_options=ocp.CompositeOptions(multiprocessing_options=options))
    return ocp.Checkpointer(handler, multiprocessing_options=options)
