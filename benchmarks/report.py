"""The results as Markdown tables."""

from __future__ import annotations

from typing import Any


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def times(entries: dict[str, dict[str, float]], unit: str = "ms", relative: bool = True) -> str:
    """Medians with their range, and how the first compares with each."""
    (_, first), *_ = entries.items()
    rows = []
    for name, entry in entries.items():
        row = [name, f"{entry['median']:.3g}", f"{entry['lowest']:.3g} to {entry['highest']:.3g}"]
        rows.append([*row, f"{first['median'] / entry['median']:.2f}"] if relative else row)
    return table(["", unit, "range", *(["first / this"] if relative else [])], rows)


def panels(section: dict[str, Any]) -> str:
    """The wall time of the phase diagrams."""
    measured = section["measured"]
    how = "all trained" if measured == "all" else "extrapolated from " + ", ".join(
        f"{value:.3g} ms a step at alpha {alpha}" for alpha, value in measured.items())
    return f"{section['runs']} runs of {section['steps']} steps: {section['seconds'] / 3600:.2f} hours ({how})"


def report(results: dict[str, Any]) -> str:
    """All sections."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version)
    missing = [name for name in ("torch", "jax") if results["versions"].get(name) is None]
    parts = [f"{results['processor']}, {results['cores']} cores; {versions}"]
    if missing:
        parts.append(f"left out, since not installed: {', '.join(missing)}")
    for name, section in results["sections"].items():
        parts.append(f"## {name}")
        if name in ("step", "transformer"):
            parts.append(times(section["milliseconds"]))
        elif name == "variants":
            for what, one in section.items():
                parts += [f"{what}:", times(one["milliseconds"])]
        elif name == "scaling":
            for axis, entries in section.items():
                parts.append(f"{axis}:")
                if axis.endswith("exponents"):
                    parts.append(table(list(entries), [[f"{value:.2f}" for value in entries.values()]]))
                else:
                    parts.append(times(entries, "ms a run", relative=axis in ("threads", "runs")))
        elif name == "parts":
            for network, forms in section.items():
                for form, milliseconds in forms.items():
                    rows = [[part, f"{value:.2f}"] for part, value in milliseconds.items()]
                    parts += [f"{network}, {form}:",
                              table(["part", "ms"], [*rows, ["together", f"{sum(milliseconds.values()):.2f}"]])]
        elif name == "diagram":
            parts.append(panels(section))
        elif name == "gpu":
            parts += [section["device"], times(section["step"]["milliseconds"]),
                      "runs:", times(section["runs"], "ms a run"),
                      "runs with tf32:", times(section["runs with tf32"], "ms a run"), panels(section["diagram"])]
        else:
            parts += [times(section["seconds"], "s", relative=False),
                      table(["peak memory", "MB"], [[key, f"{value:.0f}"]
                                                    for key, value in section["peak megabytes"].items()])]
    return "\n\n".join(parts)
