"""The model whose vectors a dump holds, as each image of it says.

    "model": {"name": …, "sha256": …, "spaces": …, …}    the first image of an answer: the whole identity
    "model": "relahash-small-64bits@9f86d081884c7d65"    the others: name and the beginning of the sha256

Vectors of two models look alike, and answer nonsense beside each other.
"""

from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from contract.model import ModelIdentity

#: Hex digits of the sha256.
_DIGITS = 16


class OtherModel(Exception):
    """Vectors of another model than the collection's, or of one that nobody names; the message is for the client."""


def label_of(model: ModelIdentity) -> str:
    """Returns ``model`` in short."""
    return f"{model.name}@{model.sha256[:_DIGITS]}"


def require_assumed(assumed: str, model: ModelIdentity) -> None:
    """Raises OtherModel, naming both, unless ``assumed`` is the name, the sha256 or the label of ``model``."""
    if assumed not in (model.name, model.sha256, label_of(model)):
        raise OtherModel(f"the model {assumed} is assumed, and the collection holds codes of {label_of(model)}")


def require_same(given: str | Mapping[str, JsonValue] | None, model: ModelIdentity, *, assumed: bool) -> None:
    """Raises OtherModel, naming both, unless ``given``, what an image of a dump says, is ``model``. ``assumed``: an
    image that says nothing is of this model."""
    if given is None:
        if not assumed:
            raise OtherModel(
                f"it isn't said which model made this, and the collection holds codes of {label_of(model)}: if they "
                "are of that model, say so with assume_model"
            )
        return
    if isinstance(given, str):
        if given != label_of(model):
            raise OtherModel(f"this is of the model {given}, and the collection holds codes of {label_of(model)}")
        return
    try:
        other = ModelIdentity.model_validate(given)
    except ValidationError as error:
        raise OtherModel(f"this is no model's identity: {error.errors()[0]['msg']}") from error
    if (other.sha256, other.spaces) != (model.sha256, model.spaces):
        raise OtherModel(f"this is of the model {label_of(other)}, and the collection holds codes of {label_of(model)}")
    if other.preprocessing != model.preprocessing:
        raise OtherModel(
            f"this is of the model {label_of(other)} with pictures prepared as {dict(other.preprocessing)}, and the "
            f"collection's were prepared as {dict(model.preprocessing)}"
        )
