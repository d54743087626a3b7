"""The room's error."""


class ElementsError(Exception):
    """Nothing can be extracted or compared as asked. The message says why and what to do."""
