"""Finding a column: by its name, or by where its values come from."""

from xor.errors import SchemaError
from xor.model.types import Field, Schema, unknown_column


def resolve(schema: Schema, name: str, frame: str | None = None) -> Field:
    """The column of that name, or the only one that comes from `dataset.column`.

    Raises:
        SchemaError: there is none (near names are listed), or several come from there (all are listed).
    """
    if name in schema:
        return schema[name]
    found = [each for each in schema if any(str(origin) == name for origin in each.origins)]
    if len(found) == 1:
        return found[0]
    if found:
        raise SchemaError(
            f"{name!r} is ambiguous: several columns come from there",
            code="schema.ambiguous-column",
            hint=f"choose one of: {', '.join(each.name for each in found)}.",
        )
    error = unknown_column(name, schema.names, frame)
    descendants = [
        repr(each.name) for each in schema if any(origin.column == name for origin in each.origins)
    ]
    if descendants:
        guess = " or ".join(descendants[:4])
        error.hint = f"did you mean {guess}? Columns: {', '.join(schema.names)}."
    raise error
