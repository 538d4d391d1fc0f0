"""What is known of a method's parameters before any is allocated."""

import jax

from sde_vae.methods.method import abstract_params
from tests.helpers.small import image_methods


def test_abstract_parameters_have_the_shapes_and_types_of_those_that_are_drawn():
    for method in image_methods():
        drawn = jax.eval_shape(lambda params: params, method.init(jax.random.key(3)))
        assert abstract_params(method) == drawn
        assert abstract_params(method) is abstract_params(method)
