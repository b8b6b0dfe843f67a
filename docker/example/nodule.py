"""The model of this example. It finds the nodule by its thickness and learns nothing, so that all of it can be read here."""

import numpy as np
import pydicom
from scipy.ndimage import distance_transform_edt as distance
from scipy.ndimage import gaussian_filter, label


def read_ct(folder):
    """Read a DICOM series: Hounsfield units [column, row, slice] and the affine from index to mm in NIfTI's frame."""
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    along_row, along_column = np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float)
    normal = np.cross(along_row, along_column)
    slices.sort(key=lambda s: normal @ np.array(s.ImagePositionPatient, dtype=float))
    hu = np.stack([s.pixel_array.T * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices], axis=-1)

    first, last = (np.array(s.ImagePositionPatient, dtype=float) for s in (slices[0], slices[-1]))
    row_mm, column_mm = map(float, slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = along_row * column_mm
    affine[:3, 1] = along_column * row_mm
    affine[:3, 2] = (last - first) / (len(slices) - 1)
    affine[:3, 3] = first
    return hu, np.diag([-1, -1, 1, 1]) @ affine  # DICOM's x and y run the other way than NIfTI's


def find_nodule(hu, spacing_mm):
    """Mask of the thickest dense thing in the lung, with the vessels that lead to it cut off."""
    smooth = gaussian_filter(hu, 0.5 / spacing_mm)
    lung = np.median(smooth)
    noise = 1.48 * np.median(np.abs(smooth - lung))
    above_lung = lung + 4 * noise

    depth_mm = distance(smooth > above_lung, sampling=spacing_mm)
    seed = np.unravel_index(depth_mm.argmax(), hu.shape)
    radius_mm = depth_mm[seed]
    only_seed = np.zeros(hu.shape, dtype=bool)
    only_seed[seed] = True

    # The border of a blurred object lies half way between it and what is around it.
    inside = smooth[distance(~only_seed, sampling=spacing_mm) <= radius_mm / 2]
    dense = smooth > max((lung + np.median(inside)) / 2, above_lung)

    # A ball rolled inside the nodule cannot enter the vessels, which are thinner.
    ball_mm = 0.45 * radius_mm
    parts, _ = label(distance(dense, sampling=spacing_mm) > ball_mm)
    core = parts == parts[seed] if parts[seed] else only_seed
    return dense & (distance(~core, sampling=spacing_mm) <= ball_mm)
