"""What a person adds to an editor whose settings are a program: pieces of Lua, Emacs Lisp and Python.

Knows how each language writes a string. Knows nothing about files.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CODECOMPANION = """\
-- codecompanion.nvim: into its setup (with lazy.nvim: its opts), beside what is there;
-- :CodeCompanionChat adapter=gpt_oss then talks with it
require("codecompanion").setup({
  adapters = {
    acp = {
      gpt_oss = function()
        -- an adapter without a sign-in of its own, of which only the command changes
        return require("codecompanion.adapters").extend("kimi_cli", {
          name = "gpt_oss",
          formatted_name = "gpt-oss",
          commands = { default = %s },
        })
      end,
    },
  },
})
"""

_AVANTE = """\
-- avante.nvim: into its setup (with lazy.nvim: its opts), beside what is there
require("avante").setup({
  provider = "gpt-oss",
  acp_providers = {
    -- without its own variables the agent would get PATH alone
    ["gpt-oss"] = { command = %s, args = %s, env = vim.fn.environ() },
  },
  behaviour = { auto_approve_tool_permissions = false }, -- else what the agent asks is not asked
  session_recovery = { include_history_count = 1 }, -- the agent knows what was said before
})
"""

_AGENT_SHELL = """\
;; agent-shell: into init.el; M-x agent-shell then offers gpt-oss too, and with
;; (setq agent-shell-preferred-agent-config 'gpt-oss) starts it without asking
(with-eval-after-load 'agent-shell
  (add-to-list 'agent-shell-agent-configs
               (agent-shell-make-agent-config
                :identifier 'gpt-oss
                :mode-line-name "gpt-oss"
                :buffer-name "gpt-oss"
                :shell-prompt "gpt-oss> "
                :shell-prompt-regexp "gpt-oss> "
                :client-maker (lambda (buffer)
                                (acp-make-client :command %s
                                                 :command-params '(%s)
                                                 :context-buffer buffer)))))
"""

_JUPYTER_AI = """\
# jupyter-ai: .jupyter/personas/gpt_oss_persona.py in the folder that JupyterLab serves; a new chat then offers @gpt-oss
from jupyter_ai_acp_client.base_acp_persona import BaseAcpPersona
from jupyter_ai_persona_manager import PersonaDefaults


class GptOssPersona(BaseAcpPersona):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, executable=%r, **kwargs)

    @property
    def defaults(self):
        return PersonaDefaults(
            name="gpt-oss",
            description="gpt-oss on this machine",
            avatar_path=%r,
            system_prompt="unused",
        )
"""


def codecompanion(server: Mapping[str, Any]) -> str:
    return _CODECOMPANION % _lua([server["command"], *server["args"]])


def avante(server: Mapping[str, Any]) -> str:
    return _AVANTE % (_quoted(server["command"]), _lua(server["args"]))


def agent_shell(server: Mapping[str, Any]) -> str:
    return _AGENT_SHELL % (_quoted(server["command"]), " ".join(map(_quoted, server["args"])))


def jupyter_ai(server: Mapping[str, Any]) -> str:
    icon = resources.files("gptoss_acp").joinpath("data", "icon.svg")
    return _JUPYTER_AI % ([server["command"], *server["args"]], str(icon))


def _lua(words: Sequence[str]) -> str:
    return "{ " + ", ".join(map(_quoted, words)) + " }" if words else "{}"


def _quoted(text: str) -> str:
    """Return a string as Lua and Emacs Lisp write it: for what paths and options hold, as JSON does."""
    return json.dumps(text, ensure_ascii=False)
