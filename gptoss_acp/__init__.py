"""A local coding agent: gpt-oss on MLX, in this process, for any editor that speaks the Agent Client Protocol."""

ENVIRONMENT_PREFIX = "GPTOSS_ACP_"
"""What the names of our own variables begin with."""

__version__ = "0.1.0"
