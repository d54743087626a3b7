"""The device that PyTorch computes on."""

import logging
import re

import torch

from embedding.errors import ModelError

logger = logging.getLogger(__name__)


def find_device(name: str) -> torch.device:
    """The device called ``name`` ("cpu", "cuda", "cuda:0", …). Logs a warning and returns the CPU if PyTorch
    sees no GPU at all, or cannot compute on this one.

    Raises ModelError for another kind of device, and for a GPU number that is too high.
    """
    if not re.fullmatch(r"cpu(:0)?|cuda(:[0-9]{1,4})?", name):
        raise ModelError(f"{name!r} is no device; use cpu, cuda or cuda:0")
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        logger.warning("device %s was asked for, and PyTorch sees no GPU here: computing on the CPU", name)
        return torch.device("cpu")
    # PyTorch would not check: it keeps the number in eight bits, and takes cuda:256 for cuda:0.
    count = torch.cuda.device_count()
    if int(number or 0) >= count:
        raise ModelError(f"device {name} was asked for, and there are only {count} GPUs, from cuda:0 on")
    device = torch.device("cuda", int(number or 0))
    try:
        torch.ones(1, device=device).add(1).item()
    except RuntimeError as error:  # too old or too new for this PyTorch, out of memory, in exclusive use
        logger.warning("device %s cannot be used (%s): computing on the CPU", name, str(error).splitlines()[0])
        return torch.device("cpu")
    return device


def worker_device(gpu: int | None) -> str:
    """The name of the device for a worker to which TorchServe gave GPU number ``gpu``, or none.

    TorchServe counts GPUs with nvidia-smi, which also lists those that CUDA_VISIBLE_DEVICES hides from PyTorch; so the
    workers are spread over the visible ones.
    """
    return "cpu" if gpu is None else f"cuda:{gpu % max(1, torch.cuda.device_count())}"
