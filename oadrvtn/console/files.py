"""Files of many rows: CSV as spreadsheets write it, read into what JSON would say, each row with its line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import attrs

from ..model.config import did_you_mean
from ..model.errors import InvalidData, Mistake
from ..model.values import shown

BETWEEN = ";"
"""What stands between the values of a list in one cell; where one has it in itself the cell is a list in JSON."""

MOST_TOLD = 20
"""So many mistakes are told in one text."""


@attrs.frozen
class Rows:
    """Rows as JSON has them, and in which line of the file each began."""

    rows: list[dict[str, Any]]
    lines: list[int]


def read_csv(text: str, columns: Sequence[str], lists: Sequence[str], mandatory: Sequence[str]) -> Rows:
    """The rows of a CSV file with a head; what is empty is left out, ``lists`` are columns that hold several values.

    Raises InvalidData for a head with other columns, at ``[0]``, and ValueError for what is no CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found, line = Rows([], []), 1
    try:
        head = [name.strip() for name in next(reader, [])]
        mistakes = [
            f"unknown column {shown(name)}{did_you_mean(name, columns)}" for name in head if name not in columns
        ]
        mistakes += [f"column {name} is missing" for name in mandatory if name not in head]
        mistakes += [f"column {name} is there twice" for name in columns if head.count(name) > 1]
        if mistakes:
            raise InvalidData.of(Mistake("", mistake, tuple(columns)) for mistake in mistakes)
        line = reader.line_num + 1
        for cells in reader:
            if any(cells):
                row: dict[str, Any] = {
                    name: cell.strip() for name, cell in zip(head, cells, strict=False) if cell.strip()
                }
                for name in row.keys() & set(lists):
                    row[name] = _list(row[name])
                if len(cells) > len(head):
                    row["a cell without a column"] = cells[len(head)]
                found.rows.append(row)
                found.lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {max(line, reader.line_num)}: {error}") from None
    return found


def _list(cell: str) -> Any:
    if cell.startswith("["):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            pass  # the text of a value then
    return [value.strip() for value in cell.split(BETWEEN) if value.strip()]


def _cell(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    plain = BETWEEN.join(value)
    return plain if _list(plain) == value else json.dumps(value)


def write_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """The file that ``read_csv`` reads."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_cell(row.get(name)) for name in columns)
    return file.getvalue()
