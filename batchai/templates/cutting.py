"""Where a long text is cut."""

_MARKS = ("\n\n", "\n", ". ", " ")


def cut_within(text: str, low: int, high: int) -> int:
    """A place between these two: after the last paragraph there, else line, sentence or word; else
    the upper one."""
    for mark in _MARKS:
        at = text.rfind(mark, low, high)
        if at >= 0:
            return at + len(mark)
    return high
