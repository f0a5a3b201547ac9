"""Tables of figures, for people and as JSON."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Sequence


class Target(NamedTuple):
    """What a figure is held to."""

    text: str  # as in the table: "<= 1.0"
    met: bool

    @classmethod
    def at_most(cls, limit: float, figure: float, unit: str = "") -> Target:
        return cls(f"<= {limit:g}{unit}", figure <= limit)

    @classmethod
    def below(cls, limit: float, figure: float, unit: str = "") -> Target:
        return cls(f"< {limit:g}{unit}", figure < limit)


class Table(NamedTuple):
    """One table: rows of cells, of which floats are printed with their column's number of digits."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    digits: Dict[str, int]  # column -> digits behind the point; 2 if not named
    notes: Sequence[str] = ()

    def as_text(self) -> str:
        """Return the table as aligned text."""
        lines = [list(self.columns)]
        for row in self.rows:
            lines.append([self._cell(name, value) for name, value in zip(self.columns, row)])
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        is_text = [
            any(isinstance(row[index], str) for row in self.rows) for index in range(len(self.columns))
        ]
        out = [self.title, "-" * len(self.title)]
        for line in lines:
            cells = [
                cell.ljust(width) if text else cell.rjust(width)
                for cell, width, text in zip(line, widths, is_text)
            ]
            out.append("  ".join(cells).rstrip())
        return "\n".join([*out, *(f"  {note}" for note in self.notes)])

    def as_json(self) -> Dict[str, Any]:
        """Return the table as plain data."""
        rows = [
            {
                name: {"target": value.text, "met": value.met} if isinstance(value, Target) else value
                for name, value in zip(self.columns, row)
            }
            for row in self.rows
        ]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}

    def _cell(self, column: str, value: Optional[Any]) -> str:
        if value is None:
            return ""
        if isinstance(value, Target):
            return f"{value.text} {'met' if value.met else 'NOT MET'}"
        if isinstance(value, float):
            return f"{value:,.{self.digits.get(column, 2)}f}"
        return f"{value:,}" if isinstance(value, int) else str(value)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not below `percent` of all."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
