"""What training can refuse."""


class TrainingError(Exception):
    """The labelled pictures cannot be trained on; the message says why."""
