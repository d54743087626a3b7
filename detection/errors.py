"""All errors of the detection room, as one small tree.

DetectionError
└── DetectorError    a detector's file, card or answer; nothing can be detected
"""


class DetectionError(Exception):
    """Base of every error that the detection room raises on purpose."""


class DetectorError(DetectionError):
    """No such detector, a file or card that cannot be used, or an answer that is no boxes. The message says which."""
