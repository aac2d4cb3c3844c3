"""What a model may get wrong, and what it is read as: the table that the parser and the whole program are held to."""

from __future__ import annotations

CALL = ("call", "functions.read_file", "{}")
STOPPED = ("stopped", "other speaker")
LOST = ("lost",)

RECOVERED: dict[str, list[tuple[str, ...]]] = {
    # doubled headers: the last complete one counts
    "<|channel|>commentary<|channel|>commentary to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file<|channel|>commentary<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=assistant<|channel|>commentary to=read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.shell<|channel|>commentary to=read_file<|message|>{}<|call|>": [CALL],
    "<|channel|><|channel|>final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>analysis<|channel|>final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>final<|channel|>analysis<|message|>Hm<|end|>": [("hidden", "Hm")],
    "<|channel|>final<|channel|><|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>analysis<|start|>assistant<|channel|>final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>final<|start|>assistant<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|start|>assistant<|channel|>final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|start|> assistant<|channel|>final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>commentary to=read_file<|channel|>final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|start|><|start|>assistant<|channel|>final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>final<|start|>assistant Hello<|return|>": [],
    # misspelt channels
    "<|channel|>finalx<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>Final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|> final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>commentary?<|message|>Hi<|end|>": [("shown", "Hi")],
    "<|channel|>comment<|message|>Hi<|end|>": [("shown", "Hi")],
    "<|channel|>comentary<|message|>Hi<|end|>": [("shown", "Hi")],
    "<|channel|>analysis,<|message|>Hm<|end|>": [("hidden", "Hm")],
    "<|channel|>anaylsis<|message|>Hm<|end|>": [("hidden", "Hm")],
    "<|channel|>final analysis<|message|>Hm<|end|>": [("hidden", "Hm")],
    "<|channel|>thinking<|message|>Hm<|end|>": [("hidden", "Hm")],
    "<|channel|><|message|>Hm<|end|>": [("hidden", "Hm")],
    "<|message|>Hm<|end|>": [("hidden", "Hm")],
    "final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>comment to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>thinking to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|> to=functions.read_file<|message|>{}<|call|>": [CALL],
    "commentary to=functions.read_file json<|message|>{}<|call|>": [CALL],
    # `<|message|>` missing
    "<|channel|>final Hello<|return|>": [("shown", "Hello")],
    "<|channel|>finalHello to=you<|return|>": [("shown", "Hello to=you")],
    "<|channel|>final\n\nHello <|constrain|>there<|return|>": [("shown", "Hello there")],
    "<|channel|>analysis We think<|end|>": [("hidden", "We think")],
    "<|channel|>thinking We think<|end|>": [("hidden", "We think")],
    "<|channel|>commentary I will look<|start|>assistant<|channel|>final<|message|>Hi<|return|>": [
        ("hidden", "I will look"),
        ("shown", "Hi"),
    ],
    "<|channel|>commentary to=functions.read_file{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file json {}<|call|>": [CALL],
    "<|channel|>commentary to=read_file <|constrain|>json{}<|call|>": [CALL],
    "<|channel|>final" + " la" * 200 + "<|return|>": [("shown", "la" + " la" * 199)],
    # the header ends at once
    "<|channel|>final<|end|>": [],
    "<|channel|>final<|return|>": [],
    "<|channel|><|end|>": [],
    "<|channel|>commentary to=functions.read_file<|call|>": [("call", "functions.read_file", "")],
    # every spelling of a tool call
    "<|channel|>commentary to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>analysis to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>final to=functions.read_file<|message|>{}<|call|>": [CALL],
    " to=functions.read_file<|channel|>commentary<|message|>{}<|call|>": [CALL],
    " to=functions.read_file<|channel|>commentary to=functions.read_file<|message|>{}<|call|>": [CALL],
    " to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=Functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file:<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file,<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file.<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file code<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file json<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file<|constrain|>json<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file <|constrain|>json<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file <|constrain|> json <|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file <|constrain|><|message|>{}<|call|>": [CALL],
    "<|channel|>commentary <|constrain|>json to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to = functions.read_file<|message|>{}<|call|>": [CALL],
    '<|channel|>commentary to="functions.read_file"<|message|>{}<|call|>': [CALL],
    "<|channel|>commentaryto=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary functions.read_file json<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary we now call to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=container.exec code<|message|>{}<|call|>": [("call", "container.exec", "{}")],
    "<|channel|>commentary to=shell<|message|>{}<|call|>": [("call", "functions.shell", "{}")],
    "<|channel|>commentary to=functions.mcp.x-y<|message|>{}<|call|>": [("call", "functions.mcp.x-y", "{}")],
    "<|channel|>analysis to=python code<|message|>1+1<|call|>": [("call", "functions.python", "1+1")],
    "<|channel|>commentary to=functions<|message|>{}<|call|>": [("call", "functions.functions", "{}")],
    "<|channel|>commentary to=functions." + "x" * 300 + "<|message|>{}<|call|>": [
        ("call", "functions." + "x" * 118, "{}")
    ],
    # no tool call, though it looks like one
    "<|channel|>final <|constrain|>json<|message|>{}<|return|>": [("shown", "{}")],
    "<|channel|>final json<|message|>{}<|return|>": [("shown", "{}")],
    "<|channel|>commentary<|message|>Hi<|call|>": [("shown", "Hi")],
    "<|channel|>analysis<|message|>Hm<|call|>": [("hidden", "Hm")],
    "<|channel|>commentary to=assistant<|message|>Hi<|call|>": [("shown", "Hi")],
    "<|channel|>commentary to=user<|message|>Hi<|end|>": [("shown", "Hi")],
    "<|channel|>final to=user<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|channel|>analysis to=assistant<|message|>Hm<|end|>": [("hidden", "Hm")],
    "<|channel|>commentary to=<|message|>Hi<|end|>": [("shown", "Hi")],
    # a tool call that ends otherwise
    "<|channel|>commentary to=functions.read_file<|message|>{}<|end|>": [CALL],
    "<|channel|>commentary to=functions.read_file<|message|>{}<|return|>": [CALL],
    "<|channel|>commentary to=functions.read_file<|message|>{}": [CALL],
    # no header at all, or one that names nothing: an answer, if it ends as one
    "Hello! This is final." + " And more." * 60 + "<|return|>": [
        ("shown", "Hello! This is final." + " And more." * 60)
    ],
    "It was the port.<|return|>": [("shown", "It was the port.")],
    "It was the port.<|end|>": [],
    "It was the port." + " And more." * 60 + "<|end|>": [],
    "<|channel|><|message|>Seven.<|return|>": [("shown", "Seven.")],
    "<|message|>Seven.<|return|>": [("shown", "Seven.")],
    "<|channel|>thinking<|message|>Seven.<|return|>": [("hidden", "Seven.")],
    " to=functions.read_file<|return|>": [],
    "final<|return|>": [],
    # the channel's name, or the tool's, where `assistant` belongs
    "<|start|>final<|message|>Hi<|return|>": [("shown", "Hi")],
    "<|start|>commentary<|message|>Hi<|end|>": [("shown", "Hi")],
    "<|start|>analysis<|message|>Hm<|end|>": [("hidden", "Hm")],
    "<|start|>functions.read_file<|channel|>commentary to=assistant code<|message|>{}<|call|>": [CALL],
    "<|start|>functions.read_file<|channel|>commentary <|constrain|>json<|message|>{}<|call|>": [CALL],
    "<|start|>functions.read_file<|channel|>commentary<|message|>made up<|end|>": [STOPPED],
    # the tool's name where the channel belongs, or bare behind it
    "<|channel|>functions.read_file<|channel|>commentary code<|message|>{}<|call|>": [CALL],
    "<|channel|>functions.read_file to=assistant<|channel|>commentary json<|message|>{}<|call|>": [CALL],
    "<|channel|>functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>repo_browser.search<|channel|>analysis code<|message|>{}<|call|>": [
        ("call", "repo_browser.search", "{}")
    ],
    "<|channel|>commentary bash<|message|>{}<|call|>": [("call", "container.exec", "{}")],
    "<|channel|>analysis exec code<|message|>{}<|call|>": [("call", "container.exec", "{}")],
    "<|channel|>final exec<|message|>{}<|call|>": [("call", "container.exec", "{}")],
    "<|channel|>commentary to=assistant open_file<|message|>{}<|call|>": [("call", "repo_browser.open_file", "{}")],
    "<|channel|>exec<|message|>{}<|call|>": [("call", "container.exec", "{}")],
    "<|channel|>browser.search<|channel|>analysis code<|message|>{}<|call|>": [("call", "browser.search", "{}")],
    '<|channel|>commentary bash {"command": []}<|call|>': [("call", "container.exec", '{"command": []}')],
    "<|channel|>commentary to=list directory json<|message|>{}<|call|>": [("call", "repo_browser.print_tree", "{}")],
    "<|channel|>commentary we search<|message|>Hi<|end|>": [("shown", "Hi")],
    # reasoning that has lost its channel
    "<|channel|>commentary... They ask for the tests.<|end|>": [("hidden", "... They ask for the tests.")],
    "<|channel|>commentary?commentary?We should look.<|end|>": [("hidden", "?commentary?We should look.")],
    "<|channel|>commentary search for the tests in main.py<|end|>": [("hidden", "search for the tests in main.py")],
    # a call that has lost its recipient
    '<|channel|>commentary<|message|>{"path": "a"}<|end|>': [("hidden", '{"path": "a"}'), LOST],
    '<|channel|>commentary<|message|> \n{"path": {"a": ["}"]}}\n<|end|>': [
        ("hidden", ' \n{"path": {"a": ["}"]}}\n'),
        LOST,
    ],
    '<|channel|>commentary<|message|>{"path": "a<|call|>': [("hidden", '{"path": "a'), LOST],
    '<|channel|>commentary<|message|>{"path": "a"} is what I send<|end|>': [("shown", '{"path": "a"} is what I send')],
    "<|channel|>commentary<|message|>{name} stands for yours<|end|>": [("shown", "{name} stands for yours")],
    '<|channel|>commentary<|message|>{"a" and more}<|end|>': [("shown", '{"a" and more}')],
    # a header that ends, and is begun again
    "<|channel|>commentary to=container.exec <|constrain|>x<|end|><|start|>assistant"
    "<|channel|>commentary to=functions.read_file<|message|>{}<|call|>": [CALL],
    "<|channel|>commentary to=functions.read_file<|end|>": [],
    # ends and starts in between
    "<|channel|>final<|message|>Hi<|end|><|return|>": [("shown", "Hi")],
    "<|channel|>final<|message|>Hi<|end|><|end|><|end|><|return|>": [("shown", "Hi")],
    "<|end|><|return|>": [],
    "<|channel|>analysis<|message|>Hm<|end|>plain final text<|start|>assistant<|channel|>final<|message|>Hi<|return|>": [
        ("hidden", "Hm"),
        ("shown", "Hi"),
    ],
    "<|channel|>final<|message|>Hi<|end|> the final word: to=functions.read_file {}<|return|>": [("shown", "Hi")],
    "<|channel|>analysis<|message|>Hm<|end|><|channel|>final<|message|>Hi<|return|>": [
        ("hidden", "Hm"),
        ("shown", "Hi"),
    ],
    "<|channel|>analysis<|message|>Hm<|end|>assistant<|channel|>final<|message|>Hi<|return|>": [
        ("hidden", "Hm"),
        ("shown", "Hi"),
    ],
    "<|channel|>analysis<|message|>Hm<|end|><|start|><|channel|>final<|message|>Hi<|return|>": [
        ("hidden", "Hm"),
        ("shown", "Hi"),
    ],
    "<|channel|>analysis<|message|>Hm<|start|>assistant<|channel|>final<|message|>Hi<|return|>": [
        ("hidden", "Hm"),
        ("shown", "Hi"),
    ],
    "<|channel|>analysis<|message|>Hm<|channel|>final<|message|>Hi<|return|>": [("hidden", "Hm"), ("shown", "Hi")],
    "<|channel|>commentary<|message|>Hi<|channel|>analysis<|message|>Hm<|end|>": [("shown", "Hi"), ("hidden", "Hm")],
    # it speaks as somebody else
    "<|channel|>final<|message|>Hi<|end|><|start|>user<|message|>No!<|end|>": [("shown", "Hi"), STOPPED],
    "<|channel|>final<|message|>Hi<|start|> user<|message|>No!<|end|>": [("shown", "Hi"), STOPPED],
    "<|start|>functions.read_file to=assistant<|channel|>commentary<|message|>made up<|end|>": [STOPPED],
    "<|channel|>commentary to=read_file<|message|>{}<|call|><|start|>functions.read_file to=assistant<|channel|>"
    "commentary<|message|>made up<|end|><|start|>assistant<|channel|>final<|message|>It says<|return|>": [
        CALL,
        STOPPED,
    ],
    "<|start|>system<|message|>You may.<|end|>": [STOPPED],
    "<|start|>as if<|message|>made up<|end|>": [STOPPED],
    # control ids inside content
    "<|channel|>final<|message|>H<|constrain|>e<|endoftext|>l<|message|>l<|channel|>o<|reserved_200013|>!<|return|>": [
        ("shown", "Hello!")
    ],
    "<|channel|>final<|message|><|channel|><|channel|><|message|>Hello<|channel|><|return|>": [("shown", "Hello")],
    "<|channel|>fin<|reserved_201087|>al<|reserved_200500|><|message|>Hello<|return|>": [("shown", "Hello")],
    "<|channel|>final<|message|>say <|channel|> is a token<|return|>": [("shown", "say  is a token")],
}
