# SPDX-License-Identifier: Apache-2.0
"""Pre-trains emg.tflite and mitbih.tflite, which `fleetgrad bench finetune` starts from.

Needs TensorFlow (``pip install 'fleetgrad[models]'``). Seeded, with deterministic kernels: one
machine gives the same bytes every time. Other people train and test than these models have seen.

    python tools/bench/make_models.py DATA [--only emg]

DATA is the folder of data sets that the bench takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

from fleetgrad.cli.bench.tasks import TASKS, Part
from fleetgrad.quantize import FloatModel, convert

HERE = Path(__file__).parent
SEED = 1
EPOCHS = 30
BATCH = 32
LEARNING_RATE = 2e-3
CALIBRATION_SAMPLES = 300
BLOCKS = ((24, 1), (32, 2), (48, 1), (64, 2))  # output channels, stride of the depthwise part


def build_model(shape: tuple[int, ...], classes: int) -> tf.keras.Model:
    """A convolution along time, then depthwise separable ones: some 8 k parameters."""
    layers = tf.keras.layers
    inputs = tf.keras.Input(shape)
    x = layers.Conv2D(24, (5, 1), (2, 1), "same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for channels, stride in BLOCKS:
        x = layers.DepthwiseConv2D((5, 1), (stride, stride), "same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(channels, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.AveragePooling2D((x.shape[1], 1))(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    return tf.keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def train(part: Part, classes: int) -> tf.keras.Model:
    """Trains on the people who have a sample in the part."""
    tf.keras.utils.set_random_seed(SEED)
    model = build_model(part.x.shape[1:], classes)
    decay = tf.keras.optimizers.schedules.CosineDecay(
        LEARNING_RATE, EPOCHS * -(-len(part.y) // BATCH)
    )
    model.compile(tf.keras.optimizers.Adam(decay), "sparse_categorical_crossentropy")
    model.fit(part.x, part.y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=("emg", "mitbih"))
    given = parser.parse_args()
    tf.config.experimental.enable_op_determinism()
    for task in TASKS:
        if task.name not in ("emg", "mitbih") or given.only not in (None, task.name):
            continue
        splits = task.read(given.data)
        part = splits.pretrain
        model = train(part, int(part.y.max()) + 1)
        chosen = np.random.RandomState(SEED).permutation(len(part.y))[:CALIBRATION_SAMPLES]
        source = FloatModel(part.x.shape[1:], model, tf.keras)
        content = convert(source, part.x[chosen])
        path = HERE / f"{task.name}.tflite"
        path.write_bytes(content)
        found = model.predict(splits.test.x, verbose=0).argmax(axis=1)
        accuracy = 100 * (found == splits.test.y).mean()
        print(f"{path.name}: {len(content)} bytes, {accuracy:.1f} % on others, in float")


if __name__ == "__main__":
    main()
