"""``python -m benchmarks.cifar``."""

from benchmarks.cifar.protocols import main

main()
