"""Plots as inline SVG: no scripts, no fonts, no other files."""

from collections.abc import Mapping, Sequence
from html import escape as as_html

from contract.terminal import visible

_COLOURS = ("#2f6db3", "#d1702a")
_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 34


def escape(text: str) -> str:
    """Returns ``text`` as HTML or SVG that only shows it, and that UTF-8 can hold."""
    return as_html(visible(text))


def histogram(title: str, x_label: str, series: Mapping[str, Sequence[float]]) -> str:
    """Returns a plot of up to two series of shares over 0, 1, 2, …, overlaid."""
    top = max((max(values, default=0.0) for values in series.values()), default=0.0) or 1.0
    count = max(len(values) for values in series.values())
    step = (_WIDTH - _LEFT - _RIGHT) / count
    parts = [_axes(top, [(at, str(at)) for at in range(0, count, max(1, count // 8))], count, x_label)]
    for number, (name, values) in enumerate(series.items()):
        colour = _COLOURS[number]
        bars = [
            _column(at, step, value / top, f"{escape(name)}, {at}: {value:.4f}")
            for at, value in enumerate(values)
            if value
        ]
        parts.append(f'<g fill="{colour}" fill-opacity="0.6">{"".join(bars)}</g>')
        y = _TOP + 14 * (number + 1)
        parts.append(f'<rect x="{_WIDTH - 170}" y="{y - 9}" width="10" height="10" fill="{colour}" opacity="0.6"/>')
        parts.append(f'<text x="{_WIDTH - 155}" y="{y}">{escape(name)}</text>')
    return _svg(title, _HEIGHT, parts)


def lines(title: str, x_label: str, series: Mapping[str, Sequence[float]]) -> str:
    """Returns a plot of up to two series over 1, 2, 3, …, as lines."""
    top = max((max(values, default=0.0) for values in series.values()), default=0.0) or 1.0
    count = max(len(values) for values in series.values())
    step = (_WIDTH - _LEFT - _RIGHT) / count
    parts = [_axes(top, [(at, str(at + 1)) for at in range(0, count, max(1, count // 8))], count, x_label)]
    for number, (name, values) in enumerate(series.items()):
        points = " ".join(f"{_LEFT + (at + 0.5) * step:.1f},{_y(value / top):.1f}" for at, value in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{_COLOURS[number]}" stroke-width="2"/>')
        y = _TOP + 14 * (number + 1)
        parts.append(f'<rect x="{_WIDTH - 170}" y="{y - 9}" width="10" height="10" fill="{_COLOURS[number]}"/>')
        parts.append(f'<text x="{_WIDTH - 155}" y="{y}">{escape(name)}</text>')
    return _svg(title, _HEIGHT, parts)


def columns(title: str, x_label: str, values: Sequence[float], reference: float) -> str:
    """Returns a plot with one column per value in 0…1, and a line at ``reference``."""
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    ticks = [(at, str(at)) for at in range(0, len(values), max(1, len(values) // 8))]
    bars = [_column(at, step, value, f"{at}: {value:.3f}") for at, value in enumerate(values)]
    line = _y(reference)
    return _svg(
        title,
        _HEIGHT,
        [
            _axes(1.0, ticks, len(values), x_label),
            f'<g fill="{_COLOURS[0]}">{"".join(bars)}</g>',
            f'<path d="M{_LEFT} {line:.1f}H{_WIDTH - _RIGHT}" stroke="{_COLOURS[1]}" stroke-dasharray="4 3"/>',
        ],
    )


def bars(title: str, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Returns a plot with one bar per row (name, value, low, high), all in 0…1, and a whisker from low to high."""
    left, line = 170, 22
    scale = _WIDTH - left - 60
    parts = []
    for number, (name, value, low, high) in enumerate(rows):
        y = 8 + number * line
        middle = y + 7
        parts.append(
            f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{left}" y="{y}" width="{value * scale:.1f}" height="14" fill="{_COLOURS[0]}" opacity="0.75"/>'
        )
        if low < high:
            parts.append(
                f'<path d="M{left + low * scale:.1f} {middle}H{left + high * scale:.1f}" stroke="#222" '
                'stroke-width="1.5"/>'
            )
        parts.append(f'<text x="{left + max(value, high) * scale + 6:.1f}" y="{y + 11}">{value:.3f}</text>')
    return _svg(title, 12 + line * len(rows), parts)


def _column(at: int, step: float, share: float, hint: str) -> str:
    return (
        f'<rect x="{_LEFT + at * step:.1f}" y="{_y(share):.1f}" width="{max(step - 0.5, 0.5):.1f}" '
        f'height="{_HEIGHT - _BOTTOM - _y(share):.1f}"><title>{hint}</title></rect>'
    )


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _axes(top: float, ticks: Sequence[tuple[int, str]], count: int, x_label: str) -> str:
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, count)
    base = _HEIGHT - _BOTTOM
    parts = [f'<path d="M{_LEFT} {_TOP}V{base}H{_WIDTH - _RIGHT}" stroke="#888" fill="none"/>']
    for share in (0.0, 0.5, 1.0):
        parts.append(f'<text x="{_LEFT - 4}" y="{_y(share) + 4:.1f}" text-anchor="end">{share * top:.2g}</text>')
    for at, text in ticks:
        parts.append(f'<text x="{_LEFT + (at + 0.5) * step:.1f}" y="{base + 14}" text-anchor="middle">{text}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{base + 29}" text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
