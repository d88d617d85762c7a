import pytest

from mdmf_jax.bench.input import measure

pytestmark = pytest.mark.optimised


def test_each_source_is_measured(tmp_path):
    found = {m.name: m for m in measure(seconds=0.1, videos=10, length=0.6, loaders=["threads"])}
    assert sorted(found) == [
        "input/frames/threads",
        "input/prepared/threads",
        "input/videos/threads",
    ]
    for measured in found.values():
        settings = measured.settings
        assert measured.unit == "videos/s" and measured.repeats >= 1
        # An episode is 10 videos of 8 frames.
        assert measured.value > 0.1 * 10 / measured.median_seconds
        assert settings["frames_per_second"] == pytest.approx(8 * measured.value)
        per_core = settings["videos_per_second_per_core"]
        assert per_core * settings["cores"] == pytest.approx(measured.value)


@pytest.mark.slow
def test_prepared_videos_load_four_times_as_fast_as_files():
    """On the same cores, in processor time, which other programs hardly disturb."""
    found = {m.name: m.settings for m in measure(seconds=3, videos=10)}
    for loader in ("threads", "tfdata"):
        cost = {k: found[f"input/{k}/{loader}"]["cpu_ms_per_video"] for k in ("videos", "prepared")}
        assert cost["videos"] > 4 * cost["prepared"], cost
