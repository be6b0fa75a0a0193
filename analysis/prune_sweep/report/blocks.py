"""Data inside the page: compressed, so that nothing in it can be taken for markup."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Blocks:
    """Named blocks of gzip in base64, which the page's script unpacks when it needs them."""

    max_bytes: int  #: of all blocks together
    num_bytes: int = 0
    _parts: dict[str, str] = field(default_factory=dict)

    def add_json(self, name: str, value: Any) -> bool:
        """Add what JSON can say. False, and nothing added, where it does not fit any more."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return self.add(name, text.encode())

    def add_numbers(self, name: str, values: np.ndarray) -> bool:
        """Add little-endian numbers."""
        return self.add(name, values.astype(values.dtype.newbyteorder("<")).tobytes())

    def add(self, name: str, content: bytes) -> bool:
        """Add bytes."""
        packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
        if self.num_bytes + len(packed) > self.max_bytes:
            return False
        self.num_bytes += len(packed)
        self._parts[name] = packed
        return True

    def html(self) -> str:
        """Script elements that no browser runs."""
        return "\n".join(
            f'<script type="text/plain" data-block="{name}">{packed}</script>'
            for name, packed in self._parts.items()
        )
