"""A complete submission for the benchmark `lidc-nodule-seg`: copy this folder, put your model where `find_nodule` stands."""

import nibabel
import numpy as np

from nodule import find_nodule, read_ct
from tef_model import serve


def predict(inputs):
    """Called once a case. `inputs["ct"]` is the folder of the CT's DICOM files."""
    hu, affine = read_ct(inputs["ct"])
    mask = find_nodule(hu, spacing_mm=nibabel.affines.voxel_sizes(affine))
    return {"nodule": nibabel.Nifti1Image(mask.astype(np.uint8), affine)}


if __name__ == "__main__":
    serve(predict)
