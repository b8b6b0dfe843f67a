"""Probability that a nodule is malignant, from its size, shape and calcium by a fixed formula.

    logit(p) = 2.5 ln(diameter / 10 mm)  +  2 (0.5 - compactness)  -  3 if calcified

diameter     of the ball that has the nodule's volume; risk grows with size in every published model
compactness  share that the nodule fills of the smallest ball around its centre; lobes and spicules lower it
calcified    a twentieth of the nodule is above 200 HU; mostly a sign of a benign nodule

The signs are those of the literature (McWilliams et al., N Engl J Med 2013;369:910); the weights are round numbers that were
not fitted to any image. The nodule is outlined by the model of the submission `example`.
"""

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from nodule import find_nodule, read_ct
from tef_model import serve


def predict(inputs):
    hu, affine = read_ct(inputs["ct"])
    spacing_mm = voxel_sizes(affine)
    mask = find_nodule(hu, spacing_mm)

    volume_mm3 = mask.sum() * spacing_mm.prod()
    points_mm = apply_affine(affine, np.argwhere(mask))
    reach_mm = np.linalg.norm(points_mm - points_mm.mean(axis=0), axis=1).max() + spacing_mm.min() / 2
    diameter_mm = np.cbrt(6 / np.pi * volume_mm3)
    compactness = min(1.0, (diameter_mm / 2 / reach_mm) ** 3)
    calcified = np.percentile(hu[mask], 95) > 200

    logit = 2.5 * np.log(diameter_mm / 10) + 2 * (0.5 - compactness) - 3 * calcified
    return {"malignancy": 1 / (1 + np.exp(-logit))}


if __name__ == "__main__":
    serve(predict)
