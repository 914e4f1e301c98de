"""Model files: one ``.safetensors`` with JSON metadata. The code is in :mod:`stainxform.io.modelfile`."""

from stainxform.io.modelfile import (
    FORMAT,
    ModelState,
    digest,
    pack,
    read_model,
    settings_digest,
    unpack,
    write_model,
)

__all__ = ["FORMAT", "ModelState", "digest", "pack", "read_model", "settings_digest", "unpack", "write_model"]
