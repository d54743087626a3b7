"""The lock that rooms share which compile TorchScript."""

from threading import Lock

#: Held while something is compiled: oneDNN's graph compiler fails, and leaves graphs that never run again, if two
#: threads are in it.
compiling = Lock()
