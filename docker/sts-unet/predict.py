"""Tumour on FDG-PET by a small U-Net over triples of neighbouring slices."""

import nibabel
import numpy as np
import onnxruntime

from tef_model import serve

SIZE = 64

# One thread: the container's share of processors is set from outside, where onnxruntime does not look.
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
unet = onnxruntime.InferenceSession("/app/sts_pet_unet.onnx", options)


def predict(inputs):
    pet = nibabel.load(inputs["pet"])
    suv = np.log1p(np.clip(pet.get_fdata(dtype=np.float32), 0, 40))
    columns, rows, slices = suv.shape
    x, y = min(columns, SIZE), min(rows, SIZE)

    planes = np.zeros((slices, SIZE, SIZE), dtype=np.float32)
    planes[:, :x, :y] = np.moveaxis(suv, -1, 0)[:, :x, :y]
    below, above = np.maximum(np.arange(slices) - 1, 0), np.minimum(np.arange(slices) + 1, slices - 1)
    (logit,) = unet.run(None, {unet.get_inputs()[0].name: np.stack([planes[below], planes, planes[above]], axis=1)})

    gtv = np.zeros(suv.shape, dtype=np.uint8)
    gtv[:x, :y] = np.moveaxis(logit[:, 0, :x, :y] > 0, 0, -1)
    return {"gtv": nibabel.Nifti1Image(gtv, pet.affine)}


if __name__ == "__main__":
    serve(predict)
