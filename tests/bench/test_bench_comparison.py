"""What benchmarks/ compares and writes."""

import json
import sys

import jax
import numpy as np
import pytest

from benchmarks import compare_vit, performance_tables
from benchmarks.plain_vit import image_features
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.encoders.clip.vision import CLIPVision

pytestmark = pytest.mark.optimised


@pytest.mark.slow
def test_the_plain_vit_is_the_same_function():
    vision = VisionConfig(16, 24, 2, 4, image_size=12, patch_size=4)
    module = CLIPVision(CLIPConfig(vision, TextConfig(8, 16, 1, 2), 6))
    pixels = jax.random.normal(jax.random.key(0), (3, 12, 12, 3))
    params = compare_vit.with_noise(module.init(jax.random.key(1), pixels)["params"])
    with jax.numpy_rank_promotion("allow"):
        plain = image_features(params, pixels, patch=4, heads=4)
    np.testing.assert_allclose(module.apply({"params": params}, pixels), plain, atol=1e-5)


def test_runs_alternate_and_each_is_timed(monkeypatch):
    order, clock = [], iter(np.arange(100.0))
    monkeypatch.setattr(compare_vit, "seconds_of", lambda call, *_, **__: [call()])

    def program(name):
        return compare_vit.Program(lambda: order.append(name) or next(clock), None, None)

    seconds = compare_vit.times_in_turns(program("ours"), program("plain"), (), 3)
    assert order == ["ours", "plain", "plain", "ours", "ours", "plain"]
    assert seconds.tolist() == [[0, 1], [3, 2], [4, 5]]


def measured(name, value, unit="episodes/s", **more):
    return {
        "name": name, "value": value, "unit": unit, "median_seconds": 16 / value, "flops": None,
        "share_of_peak": None, "peak_bytes": None, "settings": {}, **more,
    }  # fmt: skip


def content(platform, *measurements, device="NVIDIA H200"):
    return {
        "date": "2030-01-02T03:04:05+00:00",
        "versions": {"jax": "0.0.1"},
        "hardware": {"platform": platform, "device": device, "cpu": "A cpu", "cpu_cores": 2},
        "load_average": {"before": [0.5, 0, 0], "after": [0.75, 0, 0]},
        "measurements": list(measurements),
    }


def test_tables_are_written_between_their_marks(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n<!-- begin cpu -->\nold\n<!-- end cpu -->\nbetween\n"
        "<!-- begin accelerator -->\nnone yet\n<!-- end accelerator -->\nend\n"
    )
    step = measured("head/mdmf/1shot/train_step", 10.0, flops=16e9, peak_bytes=2**30)
    files = []
    for number, found in enumerate(
        [
            content("cpu", step, measured("otam/forward", 5.0, "pairs/s")),
            content("cpu", measured("otam/forward", 2_000_000.0, "pairs/s")),
        ]
    ):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(found))
    monkeypatch.setattr(sys, "argv", ["x", *map(str, files), f"--page={page}"])
    performance_tables.main()
    written = page.read_text()
    # 100 ms an episode, 198 ms of the reference; 16 GFLOP in 1.6 s.
    assert (
        "| `head/mdmf/1shot/train_step` | 10.0 episodes/s | 100 ms | 1.60 s | 10.0 |  "
        "| 1,020 MiB | 0.505 of PyTorch |"
    ) in written
    assert "| `otam/forward` | 2,000,000 pairs/s | 500 ns |" in written
    assert "5.00 pairs/s" not in written and "old" not in written
    assert "A cpu, 2 cores; jax 0.0.1; 2030-01-02T03:04:05+00:00; load average 0.5" in written
    assert "between\n<!-- begin accelerator -->\nnone yet\n<!-- end accelerator -->\nend" in written


def test_accelerators_are_not_compared_with_a_cpu():
    step = measured("head/mdmf/1shot/train_step", 1000.0, share_of_peak=0.123)
    row = performance_tables.row(step, content("gpu"))
    assert "12.3%" in row and "PyTorch" not in row


def test_a_page_without_marks():
    with pytest.raises(ValueError, match="begin cpu"):
        performance_tables.replaced("nothing", "cpu", "x")


def test_an_empty_block_is_filled():
    page = "<!-- begin cpu -->\n<!-- end cpu -->\nend"
    filled = "<!-- begin cpu -->\ntext\n<!-- end cpu -->\nend"
    assert performance_tables.replaced(page, "cpu", "text") == filled
