"""What requests cost: usage in disjoint buckets × dated prices, in exact Decimal USD.

Prices come from the job (`model.price`) or from the genai-prices data, which is bundled, read
offline, and imported only here and only when a model needs it. `price_for` resolves a model once;
after that a cost is a few multiplications.
"""

from batchai.pricing.catalogue import ModelInfo, end_of_life, list_models
from batchai.pricing.rates import Rates, from_pico, to_pico
from batchai.pricing.resolve import price_for

__all__ = [
    "ModelInfo",
    "Rates",
    "end_of_life",
    "from_pico",
    "list_models",
    "price_for",
    "to_pico",
]
