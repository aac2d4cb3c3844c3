"""The arguments of tools: typed models, the JSON schemas that the model is told, and reading what it sends.

Knows pydantic. Knows nothing about what a tool does.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from gptoss_acp.errors import ToolError

_KEPT = ("type", "description", "properties", "items", "enum", "required", "default")


class Arguments(BaseModel):
    """The arguments of one tool. Those left out, or null, take their defaults."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, value: Any) -> Any:
        return {name: item for name, item in value.items() if item is not None} if isinstance(value, dict) else value

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Return the arguments that the model has given.

        Raises:
            ToolError: which of them is wrong, and how.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            known = ", ".join(cls.model_fields)
            problems = [_problem(detail, known) for detail in error.errors(include_url=False, include_input=False)[:5]]
            raise ToolError("invalid arguments: " + "; ".join(problems)) from None

    @classmethod
    def told_schema(cls) -> dict[str, Any]:
        """Return the JSON schema as the model is told of it: without titles, bounds and references."""
        schema = cls.model_json_schema()
        told: dict[str, Any] = _told(schema, schema.get("$defs", {}))
        return told


def _problem(detail: Any, known: str) -> str:
    name = ".".join(str(part) for part in detail["loc"])[:100]
    if detail["type"] == "extra_forbidden":
        return f"there is no argument {name}, only {known}"
    return f"{name}: {detail['msg'][:200]}" if name else str(detail["msg"])[:200]


def _told(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in schema:
        given = next(choice for choice in schema["anyOf"] if choice.get("type") != "null")
        schema = given | {name: value for name, value in schema.items() if name != "anyOf"}
    told = {name: schema[name] for name in _KEPT if schema.get(name) is not None}
    if "properties" in told:
        told["properties"] = {name: _told(value, definitions) for name, value in told["properties"].items()}
        told.pop("description", None)
    if "items" in told:
        told["items"] = _told(told["items"], definitions)
    return told
