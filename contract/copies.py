"""When two pictures are called copies: by their detail codes, or by their codes where a model makes no others."""

from pydantic import BaseModel, Field

from contract.model import ModelIdentity
from contract.space import CODE, DETAIL

#: Where a model isn't calibrated: 10 of 256 bits. Of 600 different garments no two differ in fewer than 14 bits of
#: their detail codes by relahash-small-64bits; copies of half the size, recompressed, in at most 10.
_MEASURED_BITS, _MEASURED = 256, 10


class CopyRule(BaseModel):
    """Two pictures are called copies if vectors of the kind `space`, which have `bits` bits, differ in at most
    `max_distance` of them."""

    space: str = Field(examples=[DETAIL])
    bits: int = Field(examples=[256])
    max_distance: int = Field(examples=[10])

    @classmethod
    def of(cls, model: ModelIdentity) -> "CopyRule":
        """As the calibration of ``model`` says. Without one, the same share of bits as for a model that was measured;
        so it is where there are no detail codes, though codes tell what is shown rather than which picture it is."""
        space, bits = (CODE, model.bits) if model.detail_bits is None else (DETAIL, model.detail_bits)
        calibration = model.calibration
        if space == DETAIL and calibration is not None and calibration.copies_within is not None:
            return cls(space=space, bits=bits, max_distance=calibration.copies_within)
        return cls(space=space, bits=bits, max_distance=_MEASURED * bits // _MEASURED_BITS)
