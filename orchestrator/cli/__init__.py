"""The command line: thin commands over client, worker and engine.

`app` is the program and its error boundary; `commands` names the commands, each loaded when asked
for; one module holds a family of them. What they print is made in `output` and `timeline`.
"""
