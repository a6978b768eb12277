"""Guards: each watches one thing, gives a verdict that names itself, and commands nothing.

`verdicts.RULES` says what follows from a verdict; `state_machine.TRANSITIONS` carries it out.
"""
