"""The report that the project started from: Qwen/Qwen3-0.6B on the first 10 % of MMLU and GSM8K."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

MODEL = "Qwen3-0.6B"
NUM_LAYERS = 28
NUM_PARAMETERS = 596_049_920

GSM8K_QUESTIONS = 132
#: What its baseline of 0.08 stands for.
GSM8K_BASELINE_CORRECT = 11

#: GSM8K accuracy by dropped layer.
GSM8K_BY_LAYER = (
    *(0.00, 0.01, 0.01, 0.08, 0.05, 0.15, 0.06, 0.08, 0.11, 0.10, 0.11, 0.03, 0.08, 0.08),
    *(0.11, 0.05, 0.06, 0.07, 0.05, 0.01, 0.02, 0.02, 0.04, 0.08, 0.08, 0.08, 0.08, 0.08),
)

#: GSM8K accuracy by percent of the weights pruned.
GSM8K_BY_PERCENT: Mapping[Decimal, float] = {
    Decimal(10 * step): accuracy
    for step, accuracy in enumerate((0.08, 0.08, 0.05, 0.00, 0.03, 0.00, 0.01, 0.01, 0.01, 0.01))
}

#: MMLU accuracy of every variant.
MMLU = 0.0


def gsm8k_of_layer(layer: int) -> float | None:
    """GSM8K accuracy without a layer, or None for a layer that the report does not have."""
    return GSM8K_BY_LAYER[layer] if layer < len(GSM8K_BY_LAYER) else None


def gsm8k_of_percent(percent: Decimal) -> float | None:
    """GSM8K accuracy with a percentage pruned, or None for one that the report does not have."""
    return GSM8K_BY_PERCENT.get(percent)


def gsm8k_series(key: str) -> dict[float, float]:
    """GSM8K accuracy by ``layer`` or by ``percent``."""
    if key == "layer":
        return {float(layer): accuracy for layer, accuracy in enumerate(GSM8K_BY_LAYER)}
    return {float(percent): accuracy for percent, accuracy in GSM8K_BY_PERCENT.items()}


def is_same_model(attributes: Mapping[str, Any]) -> bool:
    """Whether an archive's model has the shape of the report's."""
    shape = (attributes.get("num_layers"), attributes.get("num_parameters"))
    return shape == (NUM_LAYERS, NUM_PARAMETERS)
