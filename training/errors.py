"""The error of training and evaluation."""


class TrainingError(Exception):
    """The labelled pictures cannot be used for training or measuring; the message says why."""
