"""What training and evaluating can refuse."""


class TrainingError(Exception):
    """The labelled pictures cannot be trained on or measured with; the message says why."""
