"""Trains the model while the image is built: pixels of the train split alone, the same forest each time."""

import sys

import joblib
import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

data, model = sys.argv[1:]
with np.load(data) as splits:
    images, malignant = splits["train_images"], splits["train_labels"].ravel() == 0
forest = ExtraTreesClassifier(n_estimators=300, min_samples_leaf=2, random_state=0)
forest.fit(images.reshape(len(images), -1) / 255, malignant)
joblib.dump(forest, model, compress=3)
