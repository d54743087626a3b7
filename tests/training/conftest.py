"""One thread, as wherever a model is loaded: the figures depend on it, and small tensors are faster."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
