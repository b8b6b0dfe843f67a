import numpy as np
import pytest

from tef.cohorts.ct_simulation import Appearance, simulate_ct

VOXEL_MM = (0.7, 0.7, 2.0)


def ball(radius_mm: float = 8.0) -> np.ndarray:
    """A ball in the middle of 48 x 48 x 16 voxels."""
    offset_mm = (np.indices((48, 48, 16)).transpose(1, 2, 3, 0) - [24, 24, 8]) * VOXEL_MM
    return np.linalg.norm(offset_mm, axis=-1) < radius_mm


def grown(voxels: int) -> np.ndarray:
    """The ball with so many layers of voxels more, or fewer where negative."""
    from scipy.ndimage import binary_dilation, binary_erosion

    return binary_dilation(ball(), iterations=voxels) if voxels > 0 else binary_erosion(ball(), iterations=-voxels)


def simulate(texture: float = 5.0, calcification: int = 6, thickness_mm: float = 2.0, seed: int = 1) -> np.ndarray:
    """A CT around the ball, HU."""
    return simulate_ct(ball(), Appearance(texture, calcification), VOXEL_MM, thickness_mm, np.random.default_rng(seed))


def test_lung_is_air_like_and_a_solid_nodule_is_soft_tissue() -> None:
    """Medians lie where a radiologist expects them."""
    volume_hu = simulate()

    assert -900 < np.median(volume_hu[~grown(3)]) < -800
    assert -20 < np.median(volume_hu[grown(-2)]) < 80


def test_attenuation_rises_with_the_texture_rating() -> None:
    """Ground glass is denser than lung and fainter than part-solid, which is fainter than solid."""
    medians = [np.median(simulate(texture)[ball()]) for texture in (1.0, 2.0, 3.0, 4.0, 5.0)]

    assert medians == sorted(medians)
    assert -700 < medians[0] < -500


@pytest.mark.parametrize("pattern", [1, 2, 3, 4, 5])
def test_calcium_is_bright_and_absent_calcium_is_not(pattern: int) -> None:
    """Every pattern of calcification has voxels far above soft tissue, inside the nodule."""
    assert np.percentile(simulate(calcification=pattern)[ball()], 99) > 250
    assert np.percentile(simulate(calcification=6)[ball()], 99) < 150


def test_a_vessel_touches_the_nodule() -> None:
    """Just outside the nodule there are voxels that a threshold takes for nodule."""
    near = grown(5) & ~grown(2)

    assert np.mean([(simulate(seed=seed)[near] > -400).sum() for seed in range(5)]) > 5


def test_thin_slices_are_noisier() -> None:
    """Noise falls with slice thickness, as in a scanner."""

    def roughness(thickness_mm: float) -> float:
        """Typical step between neighbouring voxels; a median, so that vessels do not count."""
        return float(np.median(np.abs(np.diff(simulate(thickness_mm=thickness_mm).astype(float), axis=1))))

    assert roughness(1.0) > 1.2 * roughness(3.0)


def test_the_border_is_blurred() -> None:
    """Voxels on the border lie between lung and nodule: partial volume."""
    border = ball() & ~grown(-1)

    assert -750 < np.median(simulate()[border]) < 0


def test_the_seed_decides_everything() -> None:
    """One seed gives one image to the bit, another seed another."""
    assert (simulate(seed=3) == simulate(seed=3)).all()
    assert (simulate(seed=3) != simulate(seed=4)).any()


def test_values_fit_twelve_bits() -> None:
    """Hounsfield units stay where 12 stored bits can hold them."""
    volume_hu = simulate(calcification=3)

    assert volume_hu.dtype == np.int16
    assert volume_hu.min() >= -1024
    assert volume_hu.max() <= 3071
