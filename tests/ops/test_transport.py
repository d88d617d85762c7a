"""Sinkhorn against a plain version in NumPy, and its gradient against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdmf_jax.ops.transport import pairwise_distance, transport_cost, transport_plan


def costs(*shape, scale=3.0, seed=0):
    return scale * np.random.default_rng(seed).uniform(size=shape)


def plain_sinkhorn(cost, strength, tolerance):
    """The published loop: it scales rows and columns of exp(-cost), in float64."""
    plan = np.exp(-strength * cost)
    plan /= plan.sum()
    before = np.zeros(len(cost))
    while np.abs(before - plan.sum(1)).max() > tolerance:
        before = plan.sum(1)
        plan *= (1 / len(cost) / before)[:, None]
        plan *= 1 / cost.shape[1] / plan.sum(0)
    return plan


@pytest.mark.parametrize("strength", [1.0, 4.0])
def test_plans_of_several_pairs_are_those_of_the_plain_loop(strength):
    batch = costs(3, 5, 4)
    batch[0] *= 0.01  # is done after fewer rounds than the others
    plans = jax.jit(transport_plan, static_argnums=1)(batch, strength)
    for plan, cost in zip(plans, batch, strict=True):
        np.testing.assert_allclose(plan, plain_sinkhorn(cost, strength, 1e-5), atol=2e-6)
    np.testing.assert_allclose(plans.sum(-2), 1 / 4, rtol=1e-5)
    np.testing.assert_allclose(plans.sum(-1), 1 / 5, atol=1e-4)


def test_large_costs_do_not_underflow():
    cost = costs(6, 6, scale=10.0) + 500  # exp(-500) is 0 in float32
    expected = plain_sinkhorn(cost - 500, 1.0, 1e-5)
    np.testing.assert_allclose(transport_plan(cost), expected, atol=1e-5)
    np.testing.assert_allclose(transport_cost(cost), (expected * cost).sum(), rtol=1e-5)


def test_a_strong_transport_finds_the_cheapest_pairing():
    points = np.arange(5.0)
    order = np.array([3, 0, 4, 1, 2])
    cost = np.abs(points[:, None] - points[order][None])
    plan = transport_plan(cost, strength=40.0)
    np.testing.assert_allclose(plan, np.eye(5)[order].T / 5, atol=1e-6)
    assert transport_cost(cost, 40.0) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(jax.grad(transport_cost)(jnp.asarray(cost), 40.0)).all()


def test_rounds_are_limited():
    cost = costs(5, 5, scale=40.0)
    few, many = (transport_plan(cost, 1.0, rounds, 1e-9) for rounds in (2, 2000))
    assert np.abs(few.sum(-1) - 1 / 5).max() > 1e-3
    np.testing.assert_allclose(many.sum(-1), 1 / 5, atol=1e-5)


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_gradient_by_finite_differences(strength):
    with jax.enable_x64(True):
        cost = jnp.asarray(costs(2, 4, 5, seed=1))
        weights = jnp.array([1.0, -2.0])

        @jax.jit
        def total(cost):
            return (weights * transport_cost(cost, strength, 5000, 1e-14)).sum()

        gradient, step = jax.jit(jax.grad(total))(cost), 1e-5
        for index in np.ndindex(cost.shape):
            change = jnp.zeros_like(cost).at[index].set(step)
            slope = (total(cost + change) - total(cost - change)) / (2 * step)
            assert gradient[index] == pytest.approx(float(slope), abs=1e-7)


def test_distances_of_all_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 4, 6))
    expected = np.linalg.norm(x[:, :, None] - y[:, None], axis=-1)
    np.testing.assert_allclose(pairwise_distance(x, y), expected, rtol=1e-5)


def test_distance_of_a_vector_to_itself_has_a_finite_gradient():
    x = jnp.ones((1, 2, 3))
    gradient = jax.grad(lambda y: pairwise_distance(x, y).sum())(x)
    np.testing.assert_array_equal(gradient, np.zeros_like(x))
