"""Probability that a breast-ultrasound image shows a malignant lesion, by a forest over its pixels."""

import joblib
import numpy as np
from PIL import Image

from tef_model import serve

forest = joblib.load("/app/forest.joblib")


def predict(inputs):
    pixels = np.asarray(Image.open(inputs["image"]).convert("L"))
    return {"malignancy": forest.predict_proba(pixels.reshape(1, -1) / 255)[0, 1]}


if __name__ == "__main__":
    serve(predict)
