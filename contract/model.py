"""The identity of a model, which tells its vectors from those of any other."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, computed_field, model_validator

from contract.closeness import Calibration
from contract.space import CODE, DETAIL, Space

_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])\.", re.IGNORECASE)


class ModelIdentity(BaseModel):
    """The model that made the vectors: file, spaces, arithmetic, and preparation of pictures (copied from its card).

    ``text``: whether it also embeds words in these spaces. ``decoder`` names Pillow and its JPEG library with their
    versions; it is None in index versions older than this field. ``calibration`` tells no vectors apart, but travels
    with them; it isn't written for a model that has none.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    spaces: tuple[Space, ...]
    precision: str
    preprocessing: dict[str, JsonValue]
    text: bool = False
    decoder: str | None = None
    calibration: Annotated[Calibration | None, Field(exclude_if=lambda calibration: calibration is None)] = None

    @model_validator(mode="before")
    @classmethod
    def _of_format_1(cls, given: Any) -> Any:
        """Format 1, from before spaces had names, gives ``bits`` and perhaps ``detail_bits`` instead."""
        if not isinstance(given, dict) or "spaces" in given or "bits" not in given:
            return given
        widths = {CODE: given["bits"], DETAIL: given.get("detail_bits")}
        return given | {"spaces": [{"name": name, "width": width} for name, width in widths.items() if width]}

    @model_validator(mode="after")
    def _each_name_once(self) -> "ModelIdentity":
        names = [space.name for space in self.spaces]
        if not names or len(set(names)) != len(names):
            raise ValueError("a model has one space or more, each with a name of its own")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bits(self) -> int:
        """Bits of the code; 0 if the model makes none."""
        return self._width(CODE) or 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def detail_bits(self) -> int | None:
        """Bits of the detail code; None if the model makes none."""
        return self._width(DETAIL)

    def space(self, name: str) -> Space | None:
        """The space called ``name``, or None."""
        return next((space for space in self.spaces if space.name == name), None)

    @property
    def served_name(self) -> str:
        """The name under which it serves collections beside the datalake's model: relahash-small-64bits-…

        It becomes a file's name: it begins with a letter or a digit, and with no device of Windows' (``con.x``).
        """
        name = re.sub("[^0-9A-Za-z._-]", "-", self.name)[:64].lstrip("._-")
        if not name or _DEVICE.match(name):
            name = f"model-{name}"
        return f"{name}-{self.sha256[:12]}"

    def _width(self, name: str) -> int | None:
        space = self.space(name)
        return None if space is None else space.width
