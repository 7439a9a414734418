# SPDX-License-Identifier: Apache-2.0
"""Pre-trains the factory's model on factory.npz and writes digits.tflite.

Needs TensorFlow (``pip install 'fleetgrad[models]'``); nothing else in the project does. Training
is seeded and runs deterministic kernels, so that one machine gives the same bytes every time;
another processor may round its float sums differently and then gives a slightly different model.

    python make_model.py [-o digits.tflite]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf

HERE = Path(__file__).parent
SEED = 1
EPOCHS = 20
BATCH = 32
LEARNING_RATE = 2e-3
LIGHTS = 4  # copies of the training set, each image under a light of its own
CALIBRATION_IMAGES = 200


def other_light(x: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Shows each image under another contrast and stray light, as cameras in the field will.

    The factory knows about light and expects it. It does not know about the tilted housing.

    Args:
        x: Shape (n, 8, 8, 1), 0..1.
        rng: Of the lights.

    Returns:
        The same shape and range.
    """
    shape = (len(x), 1, 1, 1)
    return np.clip(x * rng.uniform(0.4, 1.0, shape) + rng.uniform(0.0, 0.3, shape), 0.0, 1.0)


def build_model(batch: int | None = None) -> tf.keras.Model:
    """29 k multiply-accumulates, 3242 parameters, 144 features before the last layer.

    Args:
        batch: Fixes the batch size. A free one would leave operators in the .tflite that work the
            shapes out at run time.

    Returns:
        The model, untrained.
    """
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 1), batch_size=batch, name="image"),
            layers.Conv2D(24, 3, padding="same", activation="relu", name="strokes"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Conv2D(16, 2, activation="relu", name="parts"),
            layers.Flatten(name="features"),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax", name="head"),
        ],
        name="digits",
    )


def convert(model: tf.keras.Model, calibration: np.ndarray) -> bytes:
    """Quantises to int8 throughout: per channel, the last layer per tensor, int8 in and out.

    Args:
        model: Trained.
        calibration: Shape (n, 8, 8, 1), 0..1: what fixes the ranges of the activations.

    Returns:
        The .tflite.
    """
    single = build_model(batch=1)
    single.set_weights(model.get_weights())
    converter = tf.lite.TFLiteConverter.from_keras_model(single)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return bytes(converter.convert())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "digits.tflite")
    output = parser.parse_args().output

    with np.load(HERE / "factory.npz", allow_pickle=False) as factory:
        x = ((factory["x"].astype(np.float32) + 128.0) / 255.0).astype(np.float32)
        y = factory["y"].astype(np.int64)
    rng = np.random.RandomState(SEED)
    lit = np.concatenate([x, *(other_light(x, rng) for _ in range(LIGHTS))]).astype(np.float32)

    tf.keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    model = build_model()
    model.compile(
        tf.keras.optimizers.Adam(LEARNING_RATE),
        tf.keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    model.fit(lit, np.tile(y, 1 + LIGHTS), batch_size=BATCH, epochs=EPOCHS, verbose=0)

    # Scales are frozen from here on, while the field will show other images than the factory's. A
    # white, a black and a half-black frame stand for the strongest edges that a camera can see.
    frames = np.zeros((4, 8, 8, 1), np.float32)
    frames[1], frames[2, :4], frames[3, :, :4] = 1.0, 1.0, 1.0
    calibration = np.concatenate([frames, lit[rng.permutation(len(lit))[:CALIBRATION_IMAGES]]])
    data = convert(model, calibration)
    output.write_bytes(data)
    accuracy = model.evaluate(x, y, verbose=0)[1]
    print(f"{output.name}: {len(data)} bytes, {100 * accuracy:.1f} % on the factory's own samples")


if __name__ == "__main__":
    main()
