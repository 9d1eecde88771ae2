"""Tables of methods."""

# A row without a checkpoint.
ROW = {
    "method": "mine",
    "label": 'My # "method',
    "pretraining": "none",
    "checkpoint": "",
    "source": "",
    "layout": "",
    "backbone": "r2plus1d_18",
    "recipe": "r2plus1d",
    "bn_eps": "1e-5",
    "channel_order": "rgb",
    "mean": "0.45",
    "std": "0.225",
}


def own_row(method, checkpoint, **changes):
    """Return the row of a user's own checkpoint."""
    own = {"method": method, "pretraining": "self-supervised", "checkpoint": str(checkpoint), "layout": "auto"}
    return ROW | own | changes


def write_methods(path, *rows, columns=tuple(ROW), encoding="utf-8"):
    """Write a table of methods to ``path``; return the path."""
    lines = ["# a comment", "\t".join(columns), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding)
    return path
