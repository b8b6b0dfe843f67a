"""Tumour on FDG-PET as every voxel of at least 41 % of the maximal SUV, the threshold most often quoted; nothing is learnt."""

import nibabel
import numpy as np

from tef_model import serve

FRACTION_OF_MAX = 0.41


def predict(inputs):
    pet = nibabel.load(inputs["pet"])
    suv = pet.get_fdata()
    gtv = suv >= FRACTION_OF_MAX * suv.max()
    return {"gtv": nibabel.Nifti1Image(gtv.astype(np.uint8), pet.affine)}


if __name__ == "__main__":
    serve(predict)
