"""HD95 and NSD: by hand, at every edge case, and against MONAI."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tef.metrics import base, edges
from tef.metrics.base import MaskPair, Undefined
from tef.metrics.edges import edge_voxels
from tef.metrics.surface import HD95, NSD

BOTH = Undefined("prediction and reference standard are both empty")
NO_PREDICTION = Undefined("the prediction is empty, the reference standard is not")
NO_REFERENCE = Undefined("the reference standard is empty")


def hd95(both_empty=0.0, one_empty="diagonal"):
    """HD95 with these rules for empty masks."""
    return HD95(metric="hd95", surface="edge-voxels", both_empty=both_empty, one_empty=one_empty)


def nsd(tolerance_mm, both_empty=1.0):
    """NSD at this tolerance."""
    return NSD(metric="nsd", surface="edge-voxels", tolerance_mm=tolerance_mm, both_empty=both_empty)


def blob(random, shape):
    """A few random boxes: 3D shapes with corners, holes and touching borders."""
    array = np.zeros(shape, dtype=bool)
    for _ in range(3):
        low = [random.integers(0, size - 1) for size in shape]
        high = [random.integers(start + 1, size + 1) for start, size in zip(low, shape, strict=True)]
        array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] ^= True
    return array


def by_hand(prediction, reference, spacing_mm):
    """Directed distances between edge voxels, each pair looked at."""
    points = [np.argwhere(edge_voxels(mask)) * np.array(spacing_mm) for mask in (prediction, reference)]
    table = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    return table.min(axis=1), table.min(axis=0)


def test_edge_voxels_are_those_with_a_neighbour_outside():
    """A 4 x 4 square has 12 edge voxels; one that fills the image has its rim; a corner neighbour does not count."""
    square = np.zeros((6, 6), dtype=bool)
    square[1:5, 1:5] = True
    assert edge_voxels(square).sum() == 12
    assert edge_voxels(np.ones((4, 4), dtype=bool)).sum() == 12
    square[1, 1] = False
    assert not edge_voxels(square)[2, 2]


def test_hd95_is_the_larger_directed_percentile():
    """A line of 1 mm voxels against its first: distances 0..4 one way, 0 the other; the 95th percentile is 3.8 mm."""
    line, point = np.zeros((1, 8), dtype=bool), np.zeros((1, 8), dtype=bool)
    line[0, :5] = True
    point[0, 0] = True
    assert hd95().score(line, point, (1, 1)) == pytest.approx(3.8)
    assert hd95().score(point, line, (1, 1)) == pytest.approx(3.8)


def test_nsd_pools_both_surfaces():
    """Of five voxels three lie within 2 mm, and the one voxel of the other mask too: 4 of 6."""
    line, point = np.zeros((1, 8), dtype=bool), np.zeros((1, 8), dtype=bool)
    line[0, :5] = True
    point[0, 0] = True
    assert nsd(2.0).score(line, point, (1, 1)) == 4 / 6


def test_a_distance_equal_to_the_tolerance_is_within_it():
    """Three voxels of 0.1 mm are within 0.3 mm, wherever they lie, although 3 x 0.1 > 0.3 in floating point."""
    for start in range(20):
        masks = np.zeros((2, 1, 40), dtype=bool)
        masks[0, 0, start] = masks[1, 0, start + 3] = True
        assert nsd(0.3).score(masks[0], masks[1], (0.1, 0.1)) == 1
        assert nsd(0.29).score(masks[0], masks[1], (0.1, 0.1)) == 0


def test_spacing_scales_each_axis_by_itself():
    """One voxel apart along the third axis is 5 mm there."""
    masks = np.zeros((2, 4, 4, 4), dtype=bool)
    masks[0, 1, 1, 1] = masks[1, 1, 1, 2] = True
    assert hd95().score(masks[0], masks[1], (1, 2, 5)) == 5


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("empty", "empty", {"hd95": 0.0, "hd95 undefined": BOTH, "nsd": 1.0, "nsd undefined": BOTH}),
        ("empty", "voxel", {"hd95": 50.0, "hd95 undefined": NO_PREDICTION, "nsd": 0.0, "nsd undefined": 0.0}),
        ("voxel", "empty", {"hd95": 50.0, "hd95 undefined": NO_REFERENCE, "nsd": 0.0, "nsd undefined": 0.0}),
    ],
)
def test_empty_masks_count_as_the_protocol_says(prediction, reference, expected):
    """Image of 10 x 10 x 10 voxels, 3 x 4 x 0.001 mm: its diagonal is 50 mm."""
    masks = {"empty": np.zeros((10, 10, 10), dtype=bool), "voxel": np.zeros((10, 10, 10), dtype=bool)}
    masks["voxel"][4, 4, 4] = True
    metrics = {
        "hd95": hd95(),
        "hd95 undefined": hd95("undefined", "undefined"),
        "nsd": nsd(2.0),
        "nsd undefined": nsd(2.0, "undefined"),
    }
    found = {name: metric.score(masks[prediction], masks[reference], (3, 4, 1e-3)) for name, metric in metrics.items()}
    assert found == {name: pytest.approx(value) if isinstance(value, float) else value for name, value in expected.items()}


@pytest.mark.parametrize("empty", [True, False])
def test_a_failed_case_counts_as_the_worst(empty):
    """The diagonal or 0, whether or not there was something to find, also where one empty mask is undefined by protocol."""
    reference = np.full((3, 4), not empty)
    assert hd95(one_empty="undefined").worst(reference, (1, 1)) == 5
    assert nsd(2.0).worst(reference, (1, 1)) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1.0]))
def test_both_ways_of_finding_neighbours_equal_the_full_table(seed, dense):
    """Tree and distance transform are exact, so that which one is used can never show in a result."""
    random = np.random.default_rng(seed)
    prediction, reference = blob(random, (7, 8, 6)), blob(random, (7, 8, 6))
    spacing_mm = tuple(random.uniform(0.3, 5, size=3))
    if not prediction.any() or not reference.any():
        return
    both = edge_voxels(prediction), edge_voxels(reference)
    measure = edges._distances_by_transform if dense else edges._distances_by_tree
    found = measure(*both, spacing_mm), measure(*both[::-1], spacing_mm)
    for ours, theirs in zip(found, by_hand(prediction, reference, spacing_mm), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_place_in_the_image_and_the_order_of_axes_do_not_matter(seed):
    """Moving, flipping or turning both masks changes no number at all."""
    random = np.random.default_rng(seed)
    prediction, reference = blob(random, (6, 7, 5)), blob(random, (6, 7, 5))
    spacing_mm = (0.7, 1.3, 3.1)
    moved = [np.pad(mask, ((4, 0), (1, 8), (0, 3))) for mask in (prediction, reference)]
    turned = [np.flip(mask, 1).transpose(2, 0, 1) for mask in (prediction, reference)]
    for metric in (hd95("undefined", "undefined"), nsd(1.5, "undefined")):
        plain = metric.score(prediction, reference, spacing_mm)
        if isinstance(plain, Undefined):
            continue
        assert metric.score(*moved, spacing_mm) == plain
        assert metric.score(*turned, (3.1, 0.7, 1.3)) == pytest.approx(plain, rel=1e-12)
        assert metric.score(reference, prediction, spacing_mm) == pytest.approx(plain, rel=1e-12)


def test_a_mask_pair_measures_its_distances_once(monkeypatch):
    """HD95 and two NSDs of one case cost one search."""
    calls = []
    real = base.edge_distances_mm
    monkeypatch.setattr(base, "edge_distances_mm", lambda *arguments: calls.append(1) or real(*arguments))
    random = np.random.default_rng(1)
    pair = MaskPair(blob(random, (9, 9, 9)), blob(random, (9, 9, 9)), (1, 1, 1))
    for metric in (hd95(), nsd(1.0), nsd(2.0)):
        metric.measure(pair)
    assert calls == [1]


@pytest.mark.filterwarnings("ignore")
def test_hd95_and_nsd_equal_monai():
    """Random 16^3 masks with unequal spacings; MONAI's distances are float32."""
    monai = pytest.importorskip("monai.metrics", reason="MONAI is not installed")
    import torch

    random = np.random.default_rng(7)
    spacings = [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0), (2.5, 1.1, 0.4)]
    for spacing_mm, tolerance_mm in itertools.product(spacings, [1.01, 3.03]):
        for _ in range(4):
            prediction, reference = blob(random, (16, 16, 16)), blob(random, (16, 16, 16))
            a, b = (torch.from_numpy(mask)[None, None].float() for mask in (prediction, reference))
            theirs = monai.compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=spacing_mm)
            assert hd95().score(prediction, reference, spacing_mm) == pytest.approx(theirs.item(), abs=1e-4)
            theirs = monai.compute_surface_dice(a, b, [tolerance_mm], include_background=True, spacing=spacing_mm)
            assert nsd(tolerance_mm).score(prediction, reference, spacing_mm) == pytest.approx(theirs.item(), abs=1e-6)
