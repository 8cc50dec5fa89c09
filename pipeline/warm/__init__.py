"""Commands that start at once, because a process that has imported the libraries already forks for them.

Much of what a stage of the embedded default takes is imports: torch, transformers, peft and accelerate alone 15 s.
`make repro` starts a process that imports while the first stages run on another processor (`server`), and names it in
its environment; a command that finds it there has itself run by it (`client`). Without it, with `dvc repro` or by hand,
every command starts by itself; what it makes is the same.
"""
