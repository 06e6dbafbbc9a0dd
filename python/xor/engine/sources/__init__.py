"""Data sources: a file as typed columns, exactly as its owner declared them, or a DataError.

One module per format. Each gives `read(source)` (all rows, checked), the same in `pieces(source)`, and what
`inspect` needs.
"""

from xor.engine.sources.inspection import Inspection, inspect
from xor.engine.sources.reading import pieces, read
from xor.engine.sources.source import Format, Source, format_of

__all__ = ["Format", "Inspection", "Source", "format_of", "inspect", "pieces", "read"]
