# SPDX-License-Identifier: Apache-2.0
"""Pre-trains the factory's model on people 1 to 10 of the HAPT data set and writes har.tflite.

Needs TensorFlow (``pip install 'fleetgrad[models]'``). Training is seeded and runs deterministic
kernels, so that one machine gives the same bytes every time; another processor may round its float
sums differently and then gives a slightly different model.

    python make_model.py SOURCE [-o har.tflite]

SOURCE is what make_boards.py takes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from windows import ACTIVITIES, CHANNELS, READINGS, SourceError, model_input, read_source

HERE = Path(__file__).parent
FACTORY = range(1, 11)
SEED = 1
EPOCHS = 30
BATCH = 32
LEARNING_RATE = 2e-3
CALIBRATION_WINDOWS = 300
BLOCKS = ((24, 2), (32, 1), (48, 2), (64, 1))  # output channels, stride of the depthwise part


def build_model(batch: int | None = None) -> tf.keras.Model:
    """A convolution, then depthwise separable ones: 8 k parameters.

    Args:
        batch: Fixes the batch size. A free one would leave operators in the .tflite that work the
            shapes out at run time.

    Returns:
        The model, untrained.
    """
    layers = tf.keras.layers
    inputs = tf.keras.Input((READINGS, 1, CHANNELS), batch_size=batch, name="motion")
    x = _activated(layers.Conv2D(24, (5, 1), (2, 1), "same", use_bias=False, name="edges")(inputs))
    for number, (channels, stride) in enumerate(BLOCKS):
        along = layers.DepthwiseConv2D(
            (5, 1), (stride, stride), "same", use_bias=False, name=f"along{number}"
        )
        x = _activated(along(x))
        x = _activated(layers.Conv2D(channels, 1, use_bias=False, name=f"across{number}")(x))
    x = layers.AveragePooling2D((x.shape[1], 1), name="pool")(x)
    x = layers.Flatten(name="features")(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(len(ACTIVITIES), activation="softmax", name="head")(x)
    return tf.keras.Model(inputs, outputs, name="har")


def _activated(x: tf.Tensor) -> tf.Tensor:
    """Batch normalisation, which the converter folds into the weights, and ReLU."""
    layers = tf.keras.layers
    return layers.ReLU()(layers.BatchNormalization()(x))


def convert(model: tf.keras.Model, calibration: np.ndarray) -> bytes:
    """Quantises to int8 throughout: per channel, the last layer per tensor, int8 in and out.

    Args:
        model: Trained.
        calibration: [n, 128, 1, 6]: what fixes the ranges of the activations.

    Returns:
        The .tflite.
    """
    single = build_model(batch=1)
    single.set_weights(model.get_weights())
    converter = tf.lite.TFLiteConverter.from_keras_model(single)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([one[np.newaxis]] for one in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return bytes(converter.convert())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="archive, unpacked folder or .npz of windows")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "har.tflite")
    given = parser.parse_args()
    try:
        windows = read_source(given.source)
    except SourceError as error:
        print(error, file=sys.stderr)
        return 2
    factory = np.isin(windows.person, FACTORY)
    x, y = model_input(windows.x), windows.y.astype(np.int64)

    tf.keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    model = build_model()
    decay = tf.keras.optimizers.schedules.CosineDecay(
        LEARNING_RATE, EPOCHS * -(-int(factory.sum()) // BATCH)
    )
    model.compile(
        tf.keras.optimizers.Adam(decay),
        tf.keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    model.fit(x[factory], y[factory], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    chosen = np.random.RandomState(SEED).permutation(int(factory.sum()))[:CALIBRATION_WINDOWS]
    data = convert(model, x[factory][chosen])
    given.output.write_bytes(data)
    accuracy = 100 * model.evaluate(x[~factory], y[~factory], verbose=0)[1]
    print(f"{given.output.name}: {len(data)} bytes, {accuracy:.1f} % on the other people, in float")
    return 0


if __name__ == "__main__":
    sys.exit(main())
