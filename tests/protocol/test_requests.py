"""What is read of requests: names that the SDK's schema has."""

from __future__ import annotations

import pytest
from acp import schema
from pydantic import BaseModel

from gptoss_acp.protocol import requests

READ_AS = [
    (schema.NewSessionRequest, requests.InFolders),
    (schema.LoadSessionRequest, requests.OfSessionInFolders),
    (schema.ResumeSessionRequest, requests.OfSessionInFolders),
    (schema.ForkSessionRequest, requests.OfSessionInFolders),
    (schema.ListSessionsRequest, requests.Listing),
    (schema.CloseSessionRequest, requests.OfSession),
    (schema.DeleteSessionRequest, requests.OfSession),
    (schema.CancelNotification, requests.OfSession),
    (schema.PromptRequest, requests.Prompt),
    (schema.SetSessionModeRequest, requests.SetMode),
    (schema.SetSessionConfigOptionSelectRequest, requests.SetConfigOption),
]


@pytest.mark.parametrize(("model", "protocol"), READ_AS)
def test_every_field_that_is_read_is_one_of_the_schemas(model: type[BaseModel], protocol: type) -> None:
    read = {name for room in protocol.__mro__ for name, value in vars(room).items() if isinstance(value, property)}
    assert read
    assert read <= model.model_fields.keys()
