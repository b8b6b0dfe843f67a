"""A simulated chest CT around a nodule's real shape: lung, vessels, attenuation, blur and noise.

Nothing here is a pixel of a patient. The model is simple on purpose and has what makes segmentation fail: vessels of the
nodule's own attenuation that touch it, ground glass that fades into the lung, calcification, thick slices and noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float64]

AIR_HU, HIGHEST_HU = -1024, 3071
_VESSEL_HU = 40.0
_CALCIUM_HU = 450.0
_TEXTURE_RATING = (1.0, 2.0, 3.0, 4.0, 5.0)
_SHELL_HU = (-620.0, -560.0, -450.0, -120.0, 30.0)
_CORE_HU = (-590.0, -420.0, -60.0, 20.0, 40.0)
_CORE_DEPTH = (0.25, 0.55)


@dataclass(frozen=True)
class Appearance:
    """What the readers' ratings say about attenuation.

    Attributes:
        texture: Mean rating, 1 ground glass to 5 solid.
        calcification: 1 popcorn, 2 laminated, 3 solid, 4 non-central, 5 central, 6 absent.
    """

    texture: float
    calcification: int


def simulate_ct(
    nodule: NDArray[np.bool_],
    appearance: Appearance,
    voxel_mm: tuple[float, float, float],
    slice_thickness_mm: float,
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """Make a CT of a nodule in lung.

    Args:
        nodule: The shape, bool, ``[column, row, slice]``, at least one voxel.
        appearance: How dense the nodule is.
        voxel_mm: Size of a voxel along the three axes.
        slice_thickness_mm: Collimation; may exceed the slice spacing.
        rng: All randomness comes from here.

    Returns:
        Hounsfield units, int16, same shape, within -1024 and 3071.
    """
    from scipy.ndimage import gaussian_filter

    spacing_mm = np.array(voxel_mm)
    lung = _lung(nodule.shape, spacing_mm, rng)
    vessels = _vessels(nodule, spacing_mm, rng)
    tissue = lung + vessels * (_VESSEL_HU - lung)
    # A vessel shows through ground glass, and is no denser than a solid nodule.
    inside = np.maximum(_attenuation(nodule, appearance, spacing_mm, rng), np.where(vessels > 0.5, tissue, AIR_HU))
    scene = np.where(nodule, inside, tissue)
    blur_mm = np.array([0.45, 0.45, 0.35 * slice_thickness_mm])
    noise_sd_hu = 22.0 / np.sqrt(slice_thickness_mm)
    image = gaussian_filter(scene, blur_mm / spacing_mm, mode="nearest") + _noise(
        nodule.shape, (0.6, 0.6, 0.3), noise_sd_hu, rng
    )
    return np.asarray(np.clip(np.rint(image), AIR_HU, HIGHEST_HU), dtype=np.int16)


def _noise(shape: tuple[int, ...], sigma_voxels: tuple[float, ...], sd: float, rng: np.random.Generator) -> Volume:
    """Gaussian noise of a given correlation length and standard deviation, mean 0."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal(shape), sigma_voxels, mode="wrap")
    return np.asarray(noise * (sd / noise.std()))


def _lung(shape: tuple[int, ...], spacing_mm: Volume, rng: np.random.Generator) -> Volume:
    coarse = _noise(shape, tuple(6.0 / spacing_mm), 18.0, rng)
    fine = _noise(shape, tuple(1.2 / spacing_mm), 22.0, rng)
    dependent = np.linspace(-15.0, 15.0, shape[1])[None, :, None]
    return np.asarray(rng.uniform(-880.0, -830.0) + coarse + fine + dependent)


def _vessels(nodule: NDArray[np.bool_], spacing_mm: Volume, rng: np.random.Generator) -> Volume:
    """Share of each voxel that is vessel, 0 to 1: one that touches the nodule, up to two more, and small ones."""
    from scipy.ndimage import binary_dilation

    size_mm = np.array(nodule.shape) * spacing_mm
    diameter_mm = np.cbrt(6 / np.pi * nodule.sum() * spacing_mm.prod())
    rim_mm = np.argwhere(binary_dilation(nodule) & ~nodule) * spacing_mm
    # No thicker than 0.4 of the nodule, which would else vanish in it.
    share = _tube(nodule.shape, spacing_mm, rng.choice(rim_mm), rng.uniform(0.6, 1.0) * min(1.9, 0.2 * diameter_mm), rng)
    radii_mm = [*rng.uniform(0.9, 2.2, rng.integers(0, 2, endpoint=True)), *rng.uniform(0.4, 0.7, rng.integers(4, 9))]
    for radius_mm in radii_mm:
        tube = _tube(nodule.shape, spacing_mm, rng.uniform(0.0, 1.0, 3) * size_mm, radius_mm, rng)
        if not tube[nodule].any():
            share = np.maximum(share, tube)
    return share


def _tube(shape: tuple[int, ...], spacing_mm: Volume, through_mm: Volume, radius_mm: float, rng: np.random.Generator) -> Volume:
    """A gently curved tube through a point, as the share of each voxel that it fills."""
    from scipy.spatial import KDTree

    along, bend = rng.standard_normal((2, 3))
    along /= np.linalg.norm(along)
    bend -= along * (bend @ along)
    length_mm = float(np.linalg.norm(np.array(shape) * spacing_mm))
    t = np.arange(-length_mm, length_mm, min(spacing_mm) / 2)[:, None]
    line = through_mm + t * along + 0.006 * t**2 * bend / np.linalg.norm(bend)
    voxels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3) * spacing_mm
    edge_mm = float(min(spacing_mm))
    distance_mm, _ = KDTree(line).query(voxels, distance_upper_bound=radius_mm + edge_mm)
    return np.asarray(np.clip((radius_mm - distance_mm) / edge_mm + 0.5, 0.0, 1.0).reshape(shape))


def _attenuation(nodule: NDArray[np.bool_], appearance: Appearance, spacing_mm: Volume, rng: np.random.Generator) -> Volume:
    """Attenuation inside the nodule: a shell and a core after the texture rating, calcium after the calcification rating."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(nodule, sampling=spacing_mm)
    depth /= depth.max()
    shell_hu = np.interp(appearance.texture, _TEXTURE_RATING, _SHELL_HU)
    core_hu = np.interp(appearance.texture, _TEXTURE_RATING, _CORE_HU)
    mottle = _noise(nodule.shape, tuple(1.5 / spacing_mm), 20.0, rng)
    attenuation = np.interp(depth, _CORE_DEPTH, (shell_hu, core_hu)) + mottle
    calcium = _calcium(nodule, depth, appearance.calcification, spacing_mm, rng)
    return np.asarray(np.where(calcium, _CALCIUM_HU + mottle, attenuation))


def _calcium(
    nodule: NDArray[np.bool_], depth: Volume, pattern: int, spacing_mm: Volume, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Where the nodule is calcified; ``depth`` is 0 at its border and 1 at its centre."""
    match pattern:
        case 1:
            where = _noise(nodule.shape, tuple(1.0 / spacing_mm), 1.0, rng) > 0.6
        case 2:
            where = np.sin(depth * 4 * np.pi) > 0.3
        case 3:
            where = depth > 0.15
        case 4:
            columns = np.indices(nodule.shape)[0]
            where = (depth > 0.3) & (columns > np.argwhere(nodule)[:, 0].mean())
        case 5:
            where = depth > 0.6
        case _:
            where = np.zeros(nodule.shape, dtype=np.bool_)
    return np.asarray(where & nodule)
