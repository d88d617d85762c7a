"""The mesh, and which parameter is divided how."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from mdmf_jax.errors import ConfigError
from mdmf_jax.training.sharding import device_mesh, tree_shardings

pytestmark = pytest.mark.devices


@pytest.mark.parametrize(
    ("episodes", "model_devices", "shape"),
    [(16, 1, (8, 1)), (6, 1, (6, 1)), (7, 1, (7, 1)), (9, 1, (3, 1)), (1, 1, (1, 1)),
     (16, 2, (4, 2)), (3, 4, (1, 4)), (4, 8, (1, 8))],
)  # fmt: skip
def test_data_axis_is_the_largest_that_divides_the_episodes(episodes, model_devices, shape):
    mesh = device_mesh(episodes, model_devices)
    assert dict(mesh.shape) == {"data": shape[0], "model": shape[1]}


def test_devices_must_form_groups():
    with pytest.raises(ConfigError, match="train.model_devices is 3, but 8 devices"):
        device_mesh(16, 3)


def test_large_matrices_are_divided_and_their_moments_alike():
    kernel = jax.ShapeDtypeStruct((16, 32), jnp.float32)
    layer = {"kernel": kernel, "bias": jax.ShapeDtypeStruct((32,), jnp.float32)}
    odd = {"kernel": jax.ShapeDtypeStruct((16, 31), jnp.float32)}
    params = {
        "mlp": {"fc1": layer, "fc2": layer},
        "self_attn": {"q_proj": layer, "out_proj": layer},
        "other": layer,
        "odd": {"fc1": odd},
    }
    tree = {"params": params, "opt_state": ({"mu": params},)}
    shardings = tree_shardings(tree, device_mesh(4, 2))
    for found in (shardings["params"], shardings["opt_state"][0]["mu"]):
        columns, rows, whole = P(None, "model"), P("model", None), P()
        assert found["mlp"]["fc1"]["kernel"].spec == columns
        assert found["mlp"]["fc2"]["kernel"].spec == rows
        assert found["self_attn"]["q_proj"]["kernel"].spec == columns
        assert found["self_attn"]["out_proj"]["kernel"].spec == rows
        for leaf in (found["mlp"]["fc1"]["bias"], found["other"]["kernel"]):
            assert leaf.spec == whole
        assert found["odd"]["fc1"]["kernel"].spec == whole
