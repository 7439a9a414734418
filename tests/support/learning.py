# SPDX-License-Identifier: Apache-2.0
"""The specification and a compiled model learn side by side."""

from __future__ import annotations

import numpy as np

from fleetgrad import bundle as bundles
from fleetgrad.federation.model import from_vector
from fleetgrad.store import export, layout_of
from fleetgrad_codegen.bundle import Bundle
from fleetgrad_codegen.scheme import DeepScheme, deep_training
from fleetgrad_codegen.training.local import LocalPlan, batches
from support.native_model import NativeModel

DEVICE = 0x1234_5678_9ABC


def learn(
    bundle: Bundle,
    device: NativeModel,
    scheme: DeepScheme,
    x: np.ndarray,
    targets: np.ndarray,
    *,
    plan: LocalPlan,
) -> None:
    """Trains both, and compares every loss and every parameter."""
    training = bundle.program.training
    loss = training.loss
    network = deep_training(scheme, bundle.files["model.tflite"], "m", loss).network
    wanted = network.train(network.initial(), x, targets, plan=plan, device_id=DEVICE)
    device.params[:] = np.frombuffer(bundle.files["params.bin"], np.uint8)
    device.refresh()
    losses = []
    for (index,), key in batches(plan, DEVICE, len(x)):
        target = targets[index] if training.target_bytes else int(targets[index])
        status, value, predicted, _ = device.accumulate(x[index], target, 0)
        assert status == 0
        single = training.classes and len(device.output) == 1
        assert predicted == (device.output[0] >= 0 if single else device.output.argmax())
        losses.append(value)
        assert device.apply(1, plan.rate.mantissa, plan.rate.exponent, key) == 0
    np.testing.assert_array_equal(losses, wanted.losses)
    assert device.params.tobytes() == network.vector(wanted.parameters)
    assert device.params.tobytes() != bundle.files["params.bin"]


def exported(bundle: Bundle, params: bytes) -> bytes:
    """What the host exports for a parameter vector."""
    files = bundle.files
    host = bundles.parse(files["manifest.json"], files["params.bin"], files["model.tflite"])
    return export(host, from_vector(layout_of(host), params))
