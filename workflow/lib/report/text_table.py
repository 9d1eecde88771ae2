"""A table as text: cells, some of them highlighted, written as Markdown, LaTeX or (by the report page) HTML."""

from dataclasses import dataclass, replace

import pandas as pd

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    text: str
    value: object = None  # sort key
    best: bool = False  # of its column
    best_self_supervised: bool = False


@dataclass(frozen=True)
class TextTable:
    title: str
    columns: dict[str, list[Cell]]  # by heading; the first column names the rows
    note: str

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        return list(zip(*self.columns.values(), strict=True))


def cells(values: pd.Series, form=str) -> list[Cell]:
    """Return a column of cells; ``form`` turns a value into text."""
    return [Cell(MISSING) if pd.isna(value) else Cell(form(value), value) for value in values]


def highlight_best(values: pd.Series, self_supervised) -> list[Cell]:
    """Return a column of cells with the best value marked, and the best among the rows ``self_supervised``.

    Values that round to the same text are equally good.
    """
    shown = values.astype(float).round(1)
    best = shown.eq(shown.max())
    best_self_supervised = shown.eq(shown[shown.index.isin(self_supervised)].max()) & shown.index.isin(self_supervised)
    return [
        replace(cell, best=bool(b), best_self_supervised=bool(s))
        for cell, b, s in zip(cells(values, "{:.1f}".format), best, best_self_supervised, strict=True)
    ]


def signed(value) -> str:
    """Return a difference as text with its sign."""
    return f"{value:+.1f}".replace("-", "−")


def markdown(table: TextTable) -> str:
    """Return aligned Markdown, readable in a terminal: the best **bold**, the best self-supervised in _italics_."""

    def marked(cell):
        text = cell.text.replace("|", "\\|")
        text = f"**{text}**" if cell.best else text
        return f"_{text}_" if cell.best_self_supervised else text

    columns = [[heading, *map(marked, column)] for heading, column in table.columns.items()]
    widths = [max(3, *map(len, column)) for column in columns]
    lines = [
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in zip(*columns, strict=True)
    ]
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([table.title, "", lines[0], f"|{rule}|", *lines[1:], "", _note(table, "in italics")]) + "\n"


def latex(table: TextTable) -> str:
    r"""Return a booktabs tabular to \input: the best in bold, the best self-supervised underlined."""

    def marked(cell):
        text = _escape(cell.text)
        text = rf"\textbf{{{text}}}" if cell.best else text
        return rf"\underline{{{text}}}" if cell.best_self_supervised else text

    def line(texts):
        return " & ".join(texts) + r" \\"

    return "\n".join(
        [
            f"% {table.title}",
            f"% {_note(table, 'underlined')}".rstrip(),
            r"% \usepackage{booktabs}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            line(map(_escape, table.columns)),
            r"\midrule",
            *(line(map(marked, row)) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _note(table, best_self_supervised):
    """Return a table's note, after what its marks mean if it has some."""
    ranked = any(cell.best_self_supervised for row in table.rows for cell in row)
    marks = f"Best in bold, best self-supervised {best_self_supervised}. "
    return f"{marks * ranked}{table.note}".rstrip()


_LATEX = {"\\": r"\textbackslash{}", "–": "--", "−": "$-$", "±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\^{}"}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}  # other glyphs in LaTeX's default encoding
_LATEX |= {symbol: f"\\{symbol}" for symbol in "&%$#_{}"}
_LATEX |= {symbol: f"{{{symbol}}}" for symbol in "[]*"}  # at the beginning of a row, an option of the command before it


def _escape(text):
    return "".join(_LATEX.get(letter, letter) for letter in text)
