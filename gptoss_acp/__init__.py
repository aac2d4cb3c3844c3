"""A local coding agent: gpt-oss on MLX, in this process, for any editor that speaks the Agent Client Protocol."""

__version__ = "0.1.0"
