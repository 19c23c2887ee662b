"""Seconds and bytes as text, one spelling everywhere; what was not measured is a dash, never zero."""

from __future__ import annotations

NOT_MEASURED = "\N{EN DASH}"  # as `analysis.aggregate.GAP`, whose module needs torch: a list of the cache must not


def seconds_text(seconds: float | None) -> str:
    """Return seconds with about three digits, `–` where the phase was not run."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 0.005:
        return "<0.01"
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}" if seconds < 100 else f"{seconds:,.0f}"


def duration_text(seconds: float) -> str:
    """Return a duration in the two largest units that say something, such as `1 h 20 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def gpu_text(size: float | None, *, on_gpu: bool) -> str:
    """Return a peak of GPU memory; without a GPU it says so and is never zero."""
    return bytes_text(size) if size is not None or on_gpu else "no GPU"


def bytes_text(size: float | None) -> str:
    """Return bytes in binary units with about three digits, `–` where they were not measured."""
    if size is None:
        return NOT_MEASURED
    units = ["TiB", "GiB", "MiB", "KiB", "B"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop()
    return f"{size:.1f} {units[-1]}" if size < 99.95 and units[-1] != "B" else f"{size:,.0f} {units[-1]}"
