"""What PyTorch computes on."""

import torch

from hashing.errors import ModelError


def find_device(name: str) -> torch.device:
    """The device called ``name`` ("cpu", "cuda", "cuda:0", …). Raises ModelError if it isn't there."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"{name!r} is no device; use cpu, cuda or cuda:0") from error
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"{name!r} is no supported device; use cpu, cuda or cuda:0")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {name} was asked for, and PyTorch sees no GPU here; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"device {name} was asked for, and there are only {torch.cuda.device_count()} GPUs")
    return device
