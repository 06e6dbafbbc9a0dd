"""Draws docs/cost.svg, cost against rows, from what `python -m benchmarks.join --save` has kept.

python -m benchmarks.plot
"""

import json
from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_WIDTH, _HEIGHT = 720, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 40, 60
_INK, _GRID = "#334155", "#e2e8f0"
_SERIES = (
    # join and key in the results, label, colour
    ("sealed", "peer_seconds", "SPU RR22, both learn", "#d97706"),
    ("sealed", "seconds", "xor, sealed join", "#7c3aed"),
    ("matched", "seconds", "xor, one player learns", "#2563eb"),
    ("sealed", "plaintext_seconds", "polars, plaintext", "#059669"),
)

Point = tuple[float, float]


def series(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[Point]]]:
    """For each line its label, colour and points (rows, seconds), by rows."""
    lines = []
    for join, key, label, colour in _SERIES:
        of_join = (each for each in results if each["join"] == join and each[key])
        points = sorted((each["rows"], each[key]) for each in of_join)
        if points:
            lines.append((label, colour, points))
    return lines


def svg(lines: Sequence[tuple[str, str, Sequence[Point]]], caption: str) -> str:
    """Both axes are logarithmic. One label at the end of each line, no legend."""
    points = [point for _, _, some in lines for point in some]
    columns = _decades([rows for rows, _ in points])
    levels = _decades([seconds for _, seconds in points])

    def x(rows: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * _share(rows, columns)

    def y(seconds: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * _share(seconds, levels)

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="13" role="img" aria-label="{caption}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 22, caption, "start"),
        _text(x(columns[-1]), _HEIGHT - 14, "rows of each side", "end"),
    ]
    for rows in columns:
        drawn += [_line(x(rows), _TOP, x(rows), _HEIGHT - _BOTTOM)]
        drawn += [_text(x(rows), _HEIGHT - _BOTTOM + 20, _short(rows), "middle")]
    for seconds in levels:
        drawn += [_line(_LEFT, y(seconds), x(columns[-1]), y(seconds))]
        drawn += [_text(_LEFT - 8, y(seconds) + 4, f"{seconds:g} s", "end")]
    for label, colour, some in lines:
        path = " ".join(f"{x(rows):.1f},{y(seconds):.1f}" for rows, seconds in some)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        drawn += [
            f'<circle cx="{x(rows):.1f}" cy="{y(seconds):.1f}" r="4" fill="{colour}"/>'
            for rows, seconds in some
        ]
        end, level = some[-1]
        beside = [other[1] for _, _, line in lines for other in line if other[0] == end]
        if end == max(rows for rows, _ in points):
            place = x(end) + 10, y(level) + 4, "start"
        elif level == max(beside):
            place = x(end), y(level) - 12, "end"
        else:  # other lines go on to the right
            place = x(end) + 4, y(level) + 36, "start"
        drawn.append(_text(*place[:2], label, place[2], colour))
    return "\n".join([*drawn, "</svg>", ""])


def _decades(values: Sequence[float]) -> list[float]:
    """Powers of ten that enclose the values, at least two."""
    first, last = floor(log10(min(values))), ceil(log10(max(values)))
    return [10.0**each for each in range(first, max(last, first + 1) + 1)]


def _share(value: float, decades: Sequence[float]) -> float:
    """Where a value lies between the first and the last power of ten, 0 to 1."""
    return log10(value / decades[0]) / log10(decades[-1] / decades[0])


def _short(rows: float) -> str:
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if rows >= unit:
            return f"{rows / unit:g}{name}"
    return f"{rows:g}"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_GRID}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


def main() -> None:
    paths = sorted((_ROOT / "benchmarks/results").glob("*.json"))
    kept = [json.loads(path.read_text()) for path in paths]
    back_end = max((each["oprf"] for each in kept), default=None)
    results = [
        each
        for each in kept
        if each["oprf"] == back_end and each["net"] == "lan" and each["profile"] == "release"
    ]
    if not results:
        raise SystemExit("no results of a release build: python -m benchmarks.join --save")
    caption = f"Two CSV files in, one joined CSV file out; {results[-1]['computer']}"
    (_ROOT / "docs/cost.svg").write_text(svg(series(results), caption))


if __name__ == "__main__":
    main()
