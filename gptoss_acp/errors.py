"""The one way in which a tool fails."""


class ToolError(Exception):
    """A tool can't do what was asked; the message tells the model why, so that it can try another way."""
