"""The libraries whose architectures are imported: open_clip, timm and torchvision, the extra ``import``.

Serving needs none of them.
"""

import contextlib
import importlib
import importlib.util
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from contract.registry import NotRegistered

#: Keeps the operators below registered; torch forgets them with this object.
_defined: list[Any] = []


def library(name: str) -> ModuleType:
    """Returns the library, or the module of one, called ``name``. Raises NotRegistered, which says what to install."""
    package = name.partition(".")[0]  # to find a module below it would import it
    if importlib.util.find_spec(package) is None:
        raise NotRegistered(f"importing this architecture needs {package}: pip install 'hashlake[import]'")
    _define_operators()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def clip_vocabulary() -> Path:
    """Returns CLIP's list of merges, which open_clip brings."""
    found = importlib.util.find_spec("open_clip")
    if found is None or found.origin is None:
        raise NotRegistered("CLIP's vocabulary comes with open_clip: pip install 'hashlake[import]'")
    return Path(found.origin).parent / "bpe_simple_vocab_16e6.txt.gz"


def _define_operators() -> None:
    """PyPI's torchvision is made for CUDA. Beside PyTorch for CPUs its operators cannot be loaded, and then it cannot
    be imported before somebody names two of them. The architectures here use none."""
    found = importlib.util.find_spec("torchvision")
    if _defined or found is None or found.origin is None:
        return
    with contextlib.suppress(OSError, StopIteration):
        torch.ops.load_library(  # type: ignore[no-untyped-call]
            str(next(Path(found.origin).parent.glob("_C*.so")))
        )
        return
    operators: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _defined.append(operators)
